"""Frames written as a bag, as a camera's driver and a recorder would leave it: without ROS, for demos and tests."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.bag_writer import write_bag
from binpose_recording.cdr import CAMERA_INFO, IMAGE, BagTypes, write_message
from binpose_recording.config import BagConfig, Role
from binpose_recording.messages import RawMessage, Topic, qos
from binpose_ros.camera_topics import COLOR_TOPIC, DEPTH_TOPIC, INFO_TOPIC
from binpose_ros.frames import from_camera, header_of
from binpose_ros.images import from_color, from_depth_m

NAMESPACE = "/camera"
DEFAULT_START_NS = 1_700_000_000_000_000_000
_INTERVAL_NS = 100_000_000


def camera_topics(namespace: str = NAMESPACE) -> tuple[Topic, Topic, Topic]:
    """Camera info, colour and depth, named as all nodes expect them."""
    sensor = (qos(reliable=False, depth=5),)
    return (
        Topic(f"{namespace}/{INFO_TOPIC}", CAMERA_INFO, Role.INFO, sensor),
        Topic(f"{namespace}/{COLOR_TOPIC}", IMAGE, Role.COLOR, sensor),
        Topic(f"{namespace}/{DEPTH_TOPIC}", IMAGE, Role.DEPTH, sensor),
    )


def frame_messages(frame: RgbdFrame, namespace: str = NAMESPACE) -> Iterator[tuple[RawMessage, Topic]]:
    """The camera info, the colour image and the depth image (32FC1, lossless) of a frame, received as it was taken."""
    info, color, depth = camera_topics(namespace)
    types, header = BagTypes(), header_of(frame)
    messages = [(info, from_camera(frame.camera, header, types)), (color, from_color(frame.color, header, types))]
    if frame.depth_m is not None:
        messages.append((depth, from_depth_m(frame.depth_m, header, types)))
    for topic, message in messages:
        yield RawMessage(topic.name, frame.stamp_ns, write_message(message)), topic


def write_frames(
    directory: Path, frames: Iterable[RgbdFrame], config: BagConfig | None = None, start_ns: int = DEFAULT_START_NS
) -> int:
    """Write frames into a new bag; returns their number.

    Frames without a stamp are given one each, a tenth of a second apart.

    Raises:
        BinposeError: for a folder that is there already, or a disk that does not take them.
    """
    count = 0

    def messages() -> Iterator[tuple[RawMessage, Topic]]:
        nonlocal count
        for frame in frames:
            stamp_ns = frame.stamp_ns or start_ns + count * _INTERVAL_NS
            yield from frame_messages(replace(frame, stamp_ns=stamp_ns))
            count += 1

    write_bag(directory, messages(), config)
    return count
