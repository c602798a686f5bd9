"""A frame is checked where it enters; each kind of bad input has its own sentence."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame, depth_from_encoding, undistort

CAMERA = Camera(fx=100.0, fy=100.0, cx=31.5, cy=23.5, width=64, height=48)
COLOR = np.full((48, 64, 3), 90, np.uint8)
DEPTH_M = np.full((48, 64), 0.8, np.float32)


@pytest.mark.parametrize("distance_m", [600.0, 0.0, -0.6, float("nan")])
def test_a_distance_that_is_none_or_in_millimetres_is_refused(distance_m: float) -> None:
    with pytest.raises(BinposeError, match=r"parts at a distance of .* give it in metres"):
        RgbdFrame(COLOR, None, CAMERA, distance_m=distance_m)


def test_invalid_depth_becomes_zero() -> None:
    depth_m = DEPTH_M.astype(np.float64)
    depth_m[0, :6] = np.nan, np.inf, -1.0, 0.0, 1e34, 1e39
    frame = RgbdFrame(COLOR, depth_m, CAMERA)
    assert frame.depth_m is not None
    assert frame.depth_m.dtype == np.float32
    assert not frame.depth_m[0, :6].any()
    assert (frame.depth_m[1:] == np.float32(0.8)).all()


def test_the_callers_depth_is_not_changed() -> None:
    depth_m = DEPTH_M.copy()
    depth_m[0, 0] = np.nan
    RgbdFrame(COLOR, depth_m, CAMERA)
    assert np.isnan(depth_m[0, 0])


def test_rounding_of_the_file_format_does_not_reach_the_stages() -> None:
    """A depth image as 16-bit PNG and as float TIFF differs by steps of float32: both give the same frame."""
    rng = np.random.default_rng(0)
    steps = rng.integers(2000, 30000, (48, 64))  # tenths of a millimetre
    exact = (steps / 1e4).astype(np.float32)
    nudged = np.nextafter(exact, np.where(rng.random(exact.shape) < 0.5, 0, 9).astype(np.float32))
    camera = Camera(600.0, 600.0, 31.5, 23.5, 64, 48)
    color = np.zeros((48, 64, 3), np.uint8)
    first, second = (RgbdFrame(color, depth, camera).depth_m for depth in (exact, nudged))
    assert first is not None and second is not None
    assert np.array_equal(first, second) and np.array_equal(first, exact)


def test_mono_and_colour_are_both_available_from_either() -> None:
    mono = RgbdFrame(COLOR[..., 0], None, CAMERA)
    assert mono.gray.shape == (48, 64)
    assert mono.rgb.shape == (48, 64, 3)
    assert (mono.rgb == 90).all()
    color = RgbdFrame(COLOR, DEPTH_M, CAMERA)
    assert color.rgb is COLOR
    assert (color.gray == 90).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"color": COLOR.astype(np.float32)}, "float32; expected .* uint8"),
        ({"color": np.zeros((48, 64, 4), np.uint8)}, r"\(48, 64, 4\)"),
        ({"color": np.zeros((48, 32, 3), np.uint8)}, "32x48 pixels, but the intrinsics are for 64x48"),
        ({"depth_m": np.ones((48, 32), np.float32)}, r"depth image of shape \(48, 32\)"),
        ({"depth_m": np.full((48, 64), 800, np.uint16)}, "uint16; expected float metres"),
        ({"depth_m": np.zeros((48, 64), np.float32)}, "no valid pixel"),
        ({"depth_m": np.full((48, 64), np.nan, np.float32)}, "no valid pixel"),
        ({"depth_m": np.full((48, 64), 800.0, np.float32)}, "median depth is 800 m; .* unit"),
        ({"depth_m": np.full((48, 64), 0.0008, np.float32)}, "median depth is 0.0008 m; .* unit"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    good = {"color": COLOR, "depth_m": DEPTH_M, "camera": CAMERA, "name": "000014"}
    with pytest.raises(BinposeError, match=message) as caught:
        RgbdFrame(**{**good, **change})  # type: ignore[arg-type]
    assert "'000014'" in str(caught.value)


def test_both_encodings_of_rep_118_give_metres() -> None:
    np.testing.assert_allclose(depth_from_encoding(np.full((2, 2), 800, np.uint16), "16UC1"), 0.8)
    np.testing.assert_allclose(depth_from_encoding(np.full((2, 2), 0.8, np.float32), "32FC1"), 0.8, rtol=1e-7)


@pytest.mark.parametrize(
    ("encoding", "dtype", "shape"),
    [
        ("8UC1", np.uint8, (2, 2)),
        ("mono16", np.uint16, (2, 2)),
        ("16UC1", np.float32, (2, 2)),
        ("32FC1", np.float64, (2, 2)),
        ("16UC1", np.uint16, (2, 2, 3)),
    ],
)
def test_any_other_encoding_is_refused(encoding: str, dtype: type, shape: tuple[int, ...]) -> None:
    with pytest.raises(BinposeError, match="expected one channel as 32FC1"):
        depth_from_encoding(np.ones(shape, dtype), encoding)


def test_an_ideal_camera_needs_no_undistortion() -> None:
    frame = RgbdFrame(COLOR, DEPTH_M, CAMERA)
    assert undistort(frame) is frame


def test_the_maps_of_a_camera_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(cv2, "initUndistortRectifyMap", _counting(cv2.initUndistortRectifyMap, made))
    lenses = [replace(CAMERA, distortion=(k1, 0.0, 0.0, 0.0)) for k1 in (-0.31, -0.31, -0.32, -0.31)]
    color = np.random.default_rng(0).integers(0, 256, COLOR.shape, dtype=np.uint8)
    read = [undistort(RgbdFrame(color, DEPTH_M, camera)).color for camera in lenses]
    assert len(made) == 2
    np.testing.assert_array_equal(read[0], read[3])
    assert (read[0] != read[2]).any()


def _counting(function: Callable[..., Any], calls: list[object]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    return counted


def test_frames_are_equal_to_themselves_alone() -> None:
    one, other = RgbdFrame(COLOR, DEPTH_M, CAMERA), RgbdFrame(COLOR.copy(), DEPTH_M.copy(), CAMERA)
    assert one == one and one != other and len({one, other, one}) == 2


def test_undistortion_moves_pixels_where_the_ideal_camera_sees_them() -> None:
    """A spot drawn where the distorted lens images a point is, afterwards, at the point's pinhole projection."""
    k1 = -0.2
    camera = replace(CAMERA, width=640, height=480, fx=600.0, fy=600.0, cx=319.5, cy=239.5)
    point = np.array([0.3, -0.2, 0.9])
    x, y = point[:2] / point[2]
    stretch = 1 + k1 * (x * x + y * y)
    u, v = camera.fx * x * stretch + camera.cx, camera.fy * y * stretch + camera.cy
    columns, rows = np.meshgrid(np.arange(640), np.arange(480))
    spot = (255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 18)).astype(np.uint8)
    depth_m = np.where(spot > 100, 0.9, 1.5).astype(np.float32)

    ideal = undistort(RgbdFrame(spot, depth_m, replace(camera, distortion=(k1, 0.0, 0.0, 0.0))))

    assert ideal.camera == camera
    weight = ideal.color.astype(np.float64)
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    np.testing.assert_allclose(centre, camera.project(point), atol=0.3)
    assert ideal.depth_m is not None
    assert set(np.unique(ideal.depth_m)) <= {np.float32(0.0), np.float32(0.9), np.float32(1.5)}
