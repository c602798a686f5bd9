"""Random messages of a camera, some of whose values are odd."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from binpose_ros.images import LAYOUTS

ODD_NUMBERS = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 1e-3, 1e9, 1e20)
ODD_COUNTS = (0, 1, 2, 3, 7, 48, 64, 65, 2**16, 2**31, 2**32 - 1)
MODELS = ("", "none", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "PLUMB_BOB", "\x00", "other")
ENCODINGS = (*LAYOUTS, "", "8UC3", "64FC1", "nv12", "bayer_rggb12", "rgb8; jpeg compressed bgr8")


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
