"""What the tests of the live graph read in messages."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from live_graph import MODEL, Graph

from binpose_pipeline.scene.second_look import LookConfig

IMAGES = {"/color/image_raw": "Image", "/aligned_depth_to_color/image_raw": "Image", "/color/camera_info": "CameraInfo"}


def stamp(message: Any) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def poses_of(array: Any) -> list[Any]:
    """The PoseEstimates of a Detection3DArray."""
    from rclpy.serialization import serialize_message

    from binpose_ros.poses import read_poses

    return read_poses(serialize_message(array))[0]


def parts() -> dict[str, Any]:
    """The parts of the demo's model."""
    from binpose_core.learning.model_store import ModelStore
    from binpose_core.learning.stored_parts import stored_objects

    return stored_objects(ModelStore(MODEL).load())


def complete_frame(live: Graph, heard: list[Any]) -> list[Any]:
    """The newest poses among those heard whose images and camera info come too: poses, colour, depth, info."""
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs import msg

    images = [live.listen(topic, getattr(msg, kind), qos_profile_sensor_data) for topic, kind in IMAGES.items()]

    def complete() -> list[Any] | None:
        for poses in reversed(list(heard)):
            found = [next((m for m in list(arrived) if stamp(m) == stamp(poses)), None) for arrived in images]
            if None not in found:
                return [poses, *found]
        return None

    frame = live.wait(complete, "a frame with all its messages")
    for topic in IMAGES:
        live.forget(topic)
    return list(frame)


def assert_those_of_the_library(
    poses: Any, color: Any, depth: Any, info: Any, threshold: float = 0.5, looks: int = LookConfig.looks
) -> None:
    """The poses of a frame are what the library says of its images; one process per stage looks once."""
    from binpose_pipeline.bundle import load_bundle
    from binpose_ros.frames import to_frame

    frame = to_frame(color, depth, info)
    pipeline = replace(load_bundle(MODEL).pipeline, look=LookConfig(looks))
    expected = [pose for pose in pipeline(frame) if pose.score >= threshold]
    received = poses_of(poses)
    assert expected and [pose.object_id for pose in received] == [pose.object_id for pose in expected]
    for ours, theirs in zip(received, expected, strict=True):
        np.testing.assert_allclose(ours.T_cam_obj, theirs.T_cam_obj, atol=1e-3)
        assert abs(ours.score - theirs.score) < 0.02


def send_info_until_received(live: Graph, node: str, send_info: Callable[[], Any]) -> None:
    """Send camera info, and no images, until the node's diagnostics report that it arrives.

    A publisher that has found the node's subscriptions may not be found by them yet; what it sends is lost till then.
    Afterwards the node holds the camera info, and knows the publishers of the images.
    """

    def received() -> bool:
        send_info()
        time.sleep(0.1)
        codes = live.status(node).get("codes", "").split(",")
        return "IMAGE_TOO_LARGE" in codes and "NO_PUBLISHER" not in codes

    live.wait(received, "camera info at the node")


def latched_qos() -> Any:
    from rclpy.qos import QoSDurabilityPolicy, QoSProfile

    return QoSProfile(depth=20, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def assert_same_parts(ours: Any, theirs: Any, least: float = 0.5, sure: float = 0.9) -> None:
    """Lists of (object id, score, T): what is sure in one is in the other, at the same place with nearly its score.

    Two processes round differently. Poses that are close to a tie may then be chosen otherwise, sure ones may not.
    """
    assert any(score >= sure for _, score, _ in theirs)
    for one, other in ((ours, theirs), (theirs, ours)):
        reported = [entry for entry in other if entry[1] >= least]
        for name, score, T in (entry for entry in one if entry[1] >= sure):
            near = [s for n, s, U in reported if n == name and np.abs(T[:3, 3] - U[:3, 3]).max() < 1e-3]
            assert near and min(abs(score - s) for s in near) < 0.1, f"{name} with a score of {score:.2f}"
    counts = [sum(score >= least for _, score, _ in entries) for entries in (ours, theirs)]
    assert abs(counts[0] - counts[1]) <= 1
