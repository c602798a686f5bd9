"""The camera's path beside ROS' own packages: what a 640x480 RGB-D frame costs in each, in CPU time.

`python benchmarks/ros_graph.py --what packages` prints it.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from binpose_ros import ros_packages
from binpose_ros.images import from_color, from_depth_m, to_color, to_depth_m
from binpose_ros.mailbox import FrameCounts
from binpose_ros.message_types import ros_types
from binpose_ros.serialized import serialized_header
from binpose_ros.stamps import NS_PER_S, Header
from binpose_ros.synchronizer import StampSynchronizer
from common import spread

HEIGHT, WIDTH, FRAMES, WARM_UP = 480, 640, 60, 10
SLOP_S = 0.02


def camera_path() -> list[tuple[str, str, str]]:
    """Rows: step, with binpose's own code, with the package."""
    messages = [_frame(number) for number in range(1, FRAMES + WARM_UP)]
    serialized = [tuple(map(_serialize, frame)) for frame in messages]
    return [
        ("read colour and depth (cv_bridge)", _cpu_ms(_read_own, messages), _cpu_ms(_cv_bridge(), messages)),
        ("pair colour and depth (message_filters)", _cpu_ms(_pair_own(), serialized), _cpu_ms(_filters(), serialized)),
    ]


def _frame(number: int) -> tuple[Any, Any]:
    rng, types = np.random.default_rng(number), ros_types()
    header = Header(number * NS_PER_S // 10, "camera")
    color = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    return from_color(color, header, types), from_depth_m(rng.random((HEIGHT, WIDTH), np.float32), header, types)


def _serialize(message: Any) -> bytes:
    from rclpy.serialization import serialize_message

    return bytes(serialize_message(message))


def _read_own(color: Any, depth: Any) -> None:
    to_color(color)
    to_depth_m(depth)


def _cv_bridge() -> Callable[[Any, Any], None] | None:
    bridge = ros_packages.cv_bridge()
    if bridge is None:
        return None

    def read(color: Any, depth: Any) -> None:
        bridge.imgmsg_to_cv2(color)
        np.nan_to_num(bridge.imgmsg_to_cv2(depth), nan=0.0)

    return read


def _pair_own() -> Callable[[bytes, bytes], None]:
    own = StampSynchronizer("color", {"depth": round(SLOP_S * NS_PER_S)}, FrameCounts())

    def pair(color: bytes, depth: bytes) -> None:
        own.put("color", serialized_header(color).stamp_ns, color)
        assert own.put("depth", serialized_header(depth).stamp_ns, depth)

    return pair


def _filters() -> Callable[[bytes, bytes], None] | None:
    """It takes messages, and not their bytes: each is deserialized before it is known whether its frame is used."""
    package = ros_packages.message_filters()
    if package is None:
        return None
    from rclpy.serialization import deserialize_message

    filters, found = [package.SimpleFilter(), package.SimpleFilter()], SimpleNamespace(number=0)
    synchronizer = package.ApproximateTimeSynchronizer(filters, 30, SLOP_S)

    def count(*frame: Any) -> None:
        found.number += 1

    synchronizer.registerCallback(count)

    def pair(color: bytes, depth: bytes) -> None:
        before = found.number
        for entry, data in zip(filters, (color, depth), strict=True):
            entry.signalMessage(deserialize_message(data, ros_types().Image))
        assert found.number == before + 1

    return pair


def _cpu_ms(step: Callable[[Any, Any], None] | None, frames: list[Any]) -> str:
    """CPU time of a frame."""
    if step is None:
        return "not installed"
    times_s = []
    for frame in frames:
        start = time.process_time()
        step(*frame)
        times_s.append(time.process_time() - start)
    return spread(np.array(times_s[WARM_UP:]), 1e-3, 2)
