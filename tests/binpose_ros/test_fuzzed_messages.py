"""Whatever arrives as camera info and images, the conversion gives a sound frame or one sentence.

BINPOSE_FUZZ_MESSAGES is the number of random messages, 1,500 by default.
"""

import os
from types import SimpleNamespace
from typing import Any

import numpy as np

from binpose_core.errors import BinposeError
from binpose_core.frames import RgbdFrame
from binpose_ros.frames import check_info, to_depth_frame, to_frame
from binpose_ros.images import LAYOUTS, to_picture
from binpose_ros.stamps import Header

MESSAGES = int(os.environ.get("BINPOSE_FUZZ_MESSAGES", "1500"))
ODD_NUMBERS = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 1e-3, 1e9, 1e20)
ODD_COUNTS = (0, 1, 2, 3, 7, 48, 64, 65, 2**16, 2**31, 2**32 - 1)
MODELS = ("", "none", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "PLUMB_BOB", "\x00", "other")
ENCODINGS = (*LAYOUTS, "", "8UC3", "64FC1", "nv12", "bayer_rggb12", "rgb8; jpeg compressed bgr8")
MODES = 4  # of 10 fields, about so many are odd in the wildest mode


def number(rng: np.random.Generator, usual: float, wildness: int) -> float:
    if rng.integers(10) >= wildness:
        return usual
    odd = (*ODD_NUMBERS, usual * 10 ** rng.uniform(-3, 3), rng.normal() * 10 ** rng.uniform(-10, 10))
    return float(odd[rng.integers(len(odd))])


def count(rng: np.random.Generator, usual: int, wildness: int) -> int:
    if rng.integers(10) >= wildness:
        return usual
    return int((*ODD_COUNTS, int(rng.integers(100)))[rng.integers(len(ODD_COUNTS) + 1)])


def header() -> Any:
    return SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=2), frame_id="camera")


def random_info(rng: np.random.Generator, wildness: int) -> Any:
    """A sensor_msgs/CameraInfo of a camera of 64x48 pixels with some values replaced."""
    width, height, focal = 64 * int(rng.integers(1, 4)), 48 * int(rng.integers(1, 4)), rng.uniform(40, 300)
    usual = np.array([focal, 0, width / 2, 0, focal * rng.uniform(0.9, 1.1), height / 2, 0, 0, 1])
    k = [number(rng, value, wildness // 2) for value in usual]
    k = np.reshape(k, (3, 3)).T.ravel().tolist() if wildness and not rng.integers(20) else k
    p = [number(rng, value, wildness // 2) for value in np.insert(usual.reshape(3, 3), 3, 0, axis=1).ravel()]
    lens = rng.normal(size=int(rng.integers(16))) * 10 ** rng.uniform(-4, 1)
    zeros = [0.0] * int(rng.integers(4))
    return SimpleNamespace(
        header=header(),
        width=count(rng, width, wildness // 2),
        height=count(rng, height, wildness // 2),
        distortion_model=MODELS[rng.integers(len(MODELS))] if wildness else "plumb_bob",
        d=[number(rng, float(value), wildness // 2) for value in [*lens, *zeros]] if rng.integers(3) else zeros,
        k=k,
        r=[number(rng, 0.0, wildness) for _ in range(9)],
        p=p,
        binning_x=count(rng, 0, wildness // 2),
        binning_y=count(rng, 0, wildness // 2),
        roi=SimpleNamespace(
            x_offset=count(rng, 0, wildness // 2),
            y_offset=count(rng, 0, wildness // 2),
            width=count(rng, 0, wildness // 2),
            height=count(rng, 0, wildness // 2),
            do_rectify=bool(rng.integers(2)),
        ),
    )


def random_image(rng: np.random.Generator, encoding: str, size: tuple[int, int], wildness: int) -> Any:
    """A sensor_msgs/Image with rows of random bytes and some values replaced."""
    layout = LAYOUTS.get(encoding, LAYOUTS["rgb8"])
    width, height = size
    row = width * layout.channels * int(layout.dtype[1])
    step = row + int(rng.integers(4))
    length = min(max(0, step * height + (int(rng.integers(-9, 9)) if rng.integers(10) < wildness // 2 else 0)), 10**6)
    data = rng.integers(0, 256, length, np.uint8)
    if encoding == "32FC1" and row == step:
        data = np.full(width * height, 0.7, np.float32).view(np.uint8)
    return SimpleNamespace(
        header=header(),
        width=count(rng, width, wildness // 2),
        height=count(rng, height, wildness // 2),
        encoding=encoding,
        is_bigendian=int(rng.integers(2)) if wildness else 0,
        step=count(rng, step, wildness // 2),
        data=data if rng.integers(2) else data.tobytes(),
    )


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
    wildness = int(rng.integers(MODES)) * 2
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
    frames = sum(converted(np.random.default_rng(seed)) for seed in range(MESSAGES))
    assert 0.02 * MESSAGES < frames < 0.9 * MESSAGES  # Both happen, so that both are tested.
