"""A frame is made of messages that belong together; others are refused by name."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_messages import ENCODINGS, random_image, random_info

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_ros.frames import check_info, from_camera, header_of, to_camera, to_depth_frame, to_frame
from binpose_ros.images import from_color, from_depth_m, to_picture
from binpose_ros.stamps import Header

FUZZ_MESSAGES = int(os.environ.get("BINPOSE_FUZZ_MESSAGES", "1500"))


@pytest.fixture
def frame(camera: Camera, header: Header, rng: np.random.Generator) -> RgbdFrame:
    shape = (camera.height, camera.width)
    color = rng.integers(0, 256, (*shape, 3), np.uint8)
    return RgbdFrame(color, rng.uniform(0.4, 0.6, shape).astype(np.float32), camera, header.stamp_ns, header.frame_id)


def messages(frame: RgbdFrame, types: Any) -> tuple[Any, Any, Any]:
    header = header_of(frame)
    color, depth = from_color(frame.color, header, types), from_depth_m(frame.depth_m, header, types)
    return types.sent(color), types.sent(depth), types.sent(from_camera(frame.camera, header, types))


def test_a_frame_comes_back_as_it_was_sent(frame: RgbdFrame, types: Any) -> None:
    received = to_frame(*messages(frame, types))
    np.testing.assert_array_equal(received.color, frame.color)
    np.testing.assert_array_equal(received.depth_m, frame.depth_m)
    assert (received.camera, received.stamp_ns, received.frame_id) == (frame.camera, frame.stamp_ns, frame.frame_id)


def test_a_frame_may_lack_depth(frame: RgbdFrame, types: Any) -> None:
    color, _, info = messages(frame, types)
    assert to_frame(color, None, info).depth_m is None


def test_a_frame_of_depth_alone_has_the_header_that_it_is_given(frame: RgbdFrame, types: Any) -> None:
    _, depth, info = messages(frame, types)
    header = Header(77, frame.frame_id)
    received = to_depth_frame(depth, info, header)
    np.testing.assert_array_equal(received.depth_m, frame.depth_m)
    assert not received.color.any()
    assert (received.camera, header_of(received)) == (frame.camera, header)
    with pytest.raises(BinposeError, match=r"the array of poses of 'elsewhere'; expected one frame"):
        to_depth_frame(depth, info, Header(77, "elsewhere"))


@pytest.mark.parametrize("distortion", [(), (0.1, -0.02, 1e-3, 0.0, 0.0), (0.1, 0, 0, 0, 0, 0.01, 0.0, 0.001)])
def test_a_camera_comes_back_as_it_was_sent(
    camera: Camera, header: Header, types: Any, distortion: tuple[float, ...]
) -> None:
    camera = replace(camera, distortion=distortion)
    assert to_camera(types.sent(from_camera(camera, header, types))) == camera


def test_distortion_is_removed(frame: RgbdFrame, types: Any) -> None:
    bent = replace(frame, camera=replace(frame.camera, distortion=(0.2, 0.0, 0.0, 0.0, 0.0)))
    received = to_frame(*messages(bent, types))
    assert not received.camera.distortion
    assert not np.array_equal(received.color, frame.color)


def test_nan_depth_is_invalid_depth(frame: RgbdFrame, types: Any) -> None:
    color, depth, info = messages(frame, types)
    holes = frame.depth_m.copy()
    holes[:10] = np.nan
    depth = from_depth_m(holes, header_of(frame), types)
    received = to_frame(color, depth, info)
    assert not received.depth_m[:10].any() and received.depth_m[10:].all()
    with pytest.raises(BinposeError, match="no valid pixel"):
        to_frame(color, from_depth_m(np.full_like(holes, np.nan), header_of(frame), types), info)


def test_an_uncalibrated_camera_is_refused(camera: Camera, header: Header, types: Any) -> None:
    info = from_camera(camera, header, types)
    info.k[:] = 0
    with pytest.raises(BinposeError, match="calibrate"):
        to_camera(info)


def test_a_fisheye_is_refused_unless_it_is_rectified(camera: Camera, header: Header, types: Any) -> None:
    info = from_camera(replace(camera, distortion=(0.1, 0.2, 0.3, 0.4)), header, types)
    object.__setattr__(info, "distortion_model", "equidistant")
    with pytest.raises(BinposeError, match="'equidistant'"):
        to_camera(info)
    object.__setattr__(info, "d", np.zeros(4))
    with pytest.raises(BinposeError, match="'equidistant'"):  # Without coefficients it is a fisheye all the same.
        to_camera(info)
    assert to_camera(info, rectified=True) == camera


def test_rectified_images_have_the_matrix_p_and_no_distortion(frame: RgbdFrame, types: Any) -> None:
    """As image_proc sends them: the camera info is that of the images before."""
    bent = replace(frame, camera=replace(frame.camera, distortion=(0.2, 0.1, 0.0, 0.0)))
    color, depth, info = messages(bent, types)
    object.__setattr__(info, "distortion_model", "equidistant")
    object.__setattr__(info, "p", np.array([150.0, 0, 30, -7, 0, 151, 20, 0, 0, 0, 1, 0]))
    with pytest.raises(BinposeError, match="set the parameter `rectified`"):
        to_frame(color, depth, info)
    received = to_frame(color, depth, info, rectified=True)
    assert received.camera == Camera(150.0, 151.0, 30.0, 20.0, 64, 48)
    np.testing.assert_array_equal(received.color, frame.color)
    object.__setattr__(info, "p", np.zeros(12))
    with pytest.raises(BinposeError, match="expected its matrix P"):
        to_frame(color, depth, info, rectified=True)


@pytest.mark.parametrize("what", ["depth image", "camera info"])
def test_what_is_of_another_frame_is_refused(frame: RgbdFrame, types: Any, what: str) -> None:
    color, depth, info = messages(frame, types)
    message = depth if what == "depth image" else info
    object.__setattr__(message.header, "frame_id", "elsewhere")
    with pytest.raises(BinposeError, match=f"The {what} is of frame 'elsewhere'"):
        to_frame(color, depth, info)


def test_other_sizes_are_refused(frame: RgbdFrame, types: Any) -> None:
    color, depth, info = messages(frame, types)
    small = from_depth_m(frame.depth_m[:24], header_of(frame), types)
    with pytest.raises(BinposeError, match="align"):
        to_frame(color, small, info)
    with pytest.raises(BinposeError, match="32x24"):
        to_frame(color, depth, from_camera(frame.camera.resized(32, 24), header_of(frame), types))


def described(info: Any, **changes: Any) -> Any:
    """The camera info with other values."""
    for name, value in changes.items():
        object.__setattr__(info.roi if name in ("x_offset", "y_offset") else info, name, value)
    return info


def test_binning_and_region_of_interest_are_applied(frame: RgbdFrame, types: Any) -> None:
    """The info keeps the matrix of the full resolution, 200x160, of which the image is a part, binned by 2."""
    color, depth, info = messages(frame, types)
    region = types.RegionOfInterest(x_offset=30, y_offset=20, height=96, width=128, do_rectify=False)
    matrix = np.array([400.0, 0, 93, 0, 402, 67, 0, 0, 1])
    projection = np.insert(matrix.reshape(3, 3), 3, 0, axis=1).ravel()
    info = described(info, width=200, height=160, k=matrix, p=projection, binning_x=2, binning_y=2, roi=region)
    expected = Camera(200.0, 201.0, 31.5, 23.5, 64, 48)
    assert to_frame(color, depth, types.sent(info)).camera == expected
    assert to_frame(color, depth, info, rectified=True).camera == expected
    assert to_depth_frame(depth, info, header_of(frame)).camera == expected


def test_binning_that_does_not_fit_the_image_is_named(frame: RgbdFrame, types: Any) -> None:
    color, depth, info = messages(frame, types)
    with pytest.raises(BinposeError, match=r"64x48 pixels, .* of 32x24 \(64x48, binning 2x2\); expected one size"):
        to_frame(color, depth, described(info, binning_x=2, binning_y=2))


def test_padded_coefficients_are_read(frame: RgbdFrame, types: Any) -> None:
    bent = replace(frame, camera=replace(frame.camera, distortion=(0.2, 0.1, 0.0, 0.0, 0.01)))
    color, depth, info = messages(bent, types)
    expected = to_frame(color, depth, info)
    padded = to_frame(color, depth, types.sent(described(info, d=np.append(info.d, 0.0))))
    np.testing.assert_array_equal(padded.color, expected.color)
    with pytest.raises(BinposeError, match=r"camera info of 'camera_color_optical_frame' has 6 coefficients"):
        to_frame(color, depth, described(info, d=np.append(bent.camera.distortion, 0.1)))


def test_a_transposed_matrix_is_refused(frame: RgbdFrame, types: Any) -> None:
    color, depth, info = messages(frame, types)
    with pytest.raises(BinposeError, match=r"K in the camera info of .* is written column by column"):
        to_frame(color, depth, described(info, k=info.k.reshape(3, 3).T.ravel().copy()))


def test_what_looks_odd_is_remarked(frame: RgbdFrame, types: Any) -> None:
    color, depth, info = messages(frame, types)
    assert not to_frame(color, depth, info).notes
    (note,) = to_frame(color, depth, described(info, k=np.array([200.0, 0, 60, 0, 201, 45, 0, 0, 1]))).notes
    assert "principal point (60.0, 45.0) lies in a corner" in note
    assert check_info(info).notes == (note,)


def check_sound(frame: RgbdFrame) -> None:
    camera, shape = frame.camera, frame.color.shape[:2]
    assert shape == (camera.height, camera.width) and frame.color.dtype == np.uint8
    assert np.isfinite(camera.intrinsics).all() and min(camera.fx, camera.fy) > 0 and not camera.distortion
    rays = (np.array([[0, 0], [camera.width - 1, camera.height - 1]]) - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    assert np.abs(rays).max() <= 10.01
    if frame.depth_m is not None:
        assert frame.depth_m.shape == shape and np.isfinite(frame.depth_m).all() and frame.depth_m.min() >= 0


def converted(rng: np.random.Generator) -> bool:
    """Whether random messages made a frame; anything but a BinposeError fails the test."""
    wildness = 2 * int(rng.integers(4))
    info, rectified = random_info(rng, wildness), bool(rng.integers(2))
    try:
        camera = check_info(info, rectified).camera
        size = (camera.width, camera.height) if camera.width * camera.height < 10**5 else (64, 48)
    except BinposeError as error:
        assert "\n" not in str(error) and "OpenCV(" not in str(error)
        size = (64, 48)
    color = random_image(rng, ENCODINGS[rng.integers(len(ENCODINGS))], size, wildness)
    depth = random_image(rng, "32FC1" if rng.integers(2) else ENCODINGS[rng.integers(len(ENCODINGS))], size, wildness)
    try:
        to_picture(color)
        check_sound(to_frame(color, depth if rng.integers(3) else None, info, rectified))
        check_sound(to_depth_frame(depth, info, Header(1, "camera"), rectified))
    except BinposeError as error:
        assert len(str(error)) < 700 and "OpenCV(" not in str(error)
        return False
    return True


def test_random_messages_give_frames_or_sentences() -> None:
    """BINPOSE_FUZZ_MESSAGES is their number."""
    frames = sum(converted(np.random.default_rng(seed)) for seed in range(FUZZ_MESSAGES))
    assert 0.02 * FUZZ_MESSAGES < frames < 0.9 * FUZZ_MESSAGES  # Both happen, so that both are tested.
