"""The topics of a simulated camera: colour, depth and camera info with one stamp, and the true poses."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import serialize_message

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.objects import ObjectModel
from binpose_ros.camera_topics import COLOR_TOPIC, DEPTH_TOPIC, INFO_TOPIC
from binpose_ros.frames import from_camera
from binpose_ros.images import from_color, from_depth_m
from binpose_ros.poses import write_poses
from binpose_ros.stamps import NS_PER_S, Header

TRUTH = "~/truth"
KINDS = {INFO_TOPIC: "CameraInfo", COLOR_TOPIC: "Image", DEPTH_TOPIC: "Image", TRUTH: "Detection3DArray"}
DEPTH_ENCODINGS = ("32FC1", "16UC1")


@dataclass(frozen=True, eq=False)
class CameraImage:
    """A frame that is serialized once; only its stamp changes.

    messages: images and camera info by topic. truth: true poses of its parts.
    """

    messages: Mapping[str, bytearray]
    truth: Sequence[PoseEstimate]


class CameraOutputs:
    """The publishers of a camera; they exist until `close`.

    Args:
        node: a `ManagedNode`.
        frame_id: coordinate frame that the headers name.
        depth_encoding: one of `DEPTH_ENCODINGS`.
        objects: the parts by id, for the true poses.
        version: of the model with these parts.
    """

    def __init__(
        self, node: Any, frame_id: str, depth_encoding: str, objects: Mapping[str, ObjectModel], version: str
    ) -> None:
        self._node, self._frame_id, self._encoding = node, frame_id, depth_encoding
        self._objects, self._version = objects, version
        self._publishers = {
            topic: node.create_lifecycle_publisher(
                getattr(node.types, kind),
                topic,
                QoSProfile(depth=5),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic, kind in KINDS.items()
        }

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def image(self, frame: RgbdFrame, truth: Sequence[PoseEstimate]) -> CameraImage:
        """A frame with depth, serialized."""
        assert frame.depth_m is not None
        header, types = Header(frame.stamp_ns, self._frame_id), self._node.types
        messages = {
            INFO_TOPIC: from_camera(frame.camera, header, types),
            COLOR_TOPIC: from_color(frame.color, header, types),
            DEPTH_TOPIC: from_depth_m(frame.depth_m, header, types, self._encoding),
        }
        return CameraImage({topic: bytearray(serialize_message(m)) for topic, m in messages.items()}, truth)

    def publish(self, image: CameraImage) -> int:
        """Publish an image with a new stamp, which is returned in ns."""
        header = Header(self._node.get_clock().now().nanoseconds, self._frame_id)
        for topic, data in image.messages.items():
            # The stamp follows CDR's four-byte header.
            struct.pack_into("<iI", data, 4, *divmod(header.stamp_ns, NS_PER_S))
            self._publishers[topic].publish(bytes(data))
        self._publishers[TRUTH].publish(write_poses(image.truth, self._objects, header, self._version))
        return header.stamp_ns
