"""The classes of ROS messages, by their short names, as the conversions take them.

The conversions make messages by `types.Image(height=480, ...)` with all fields named, so that any library with the same
field names will do: ROS' own classes on a robot, those of `rosbags` on a machine without ROS.
"""

from array import array
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any, Protocol

PACKAGES = {
    "builtin_interfaces": ("Duration", "Time"),
    "std_msgs": ("ColorRGBA", "Header"),
    "geometry_msgs": (
        "Point", "Pose", "PoseArray", "PoseStamped", "PoseWithCovariance", "Quaternion", "Transform",
        "TransformStamped", "Vector3",
    ),
    "sensor_msgs": ("CameraInfo", "CompressedImage", "Image", "RegionOfInterest"),
    "vision_msgs": (
        "BoundingBox2D", "BoundingBox3D", "Detection2D", "Detection2DArray", "Detection3D", "Detection3DArray",
        "ObjectHypothesis", "ObjectHypothesisWithPose", "Point2D", "Pose2D", "VisionInfo",
    ),
    "visualization_msgs": ("Marker", "MarkerArray", "MeshFile", "UVCoordinate"),
    "diagnostic_msgs": ("DiagnosticArray", "DiagnosticStatus", "KeyValue"),
    "tf2_msgs": ("TFMessage",),
    "binpose_interfaces": ("Drag", "FrameStatus", "Grasp", "GraspArray", "PickOutcome"),
}  # fmt: skip
PACKAGE_OF = {name: package for package, names in PACKAGES.items() for name in names}


class MessageTypes(Protocol):
    """Message classes as attributes, and the sequences of numbers that their fields take."""

    def __getattr__(self, name: str) -> Any:
        """The class of messages of that short name."""

    def octets(self, data: bytes) -> Any:
        """A sequence of uint8."""

    def doubles(self, values: Iterable[float]) -> Any:
        """A sequence of float64, of any length."""

    def byte(self, value: int) -> Any:
        """A value of ROS' type `byte`."""


class RosTypes:
    """ROS' own classes, imported on first use."""

    def __getattr__(self, name: str) -> Any:
        if name not in PACKAGE_OF:
            raise AttributeError(name)
        value = getattr(import_module(f"{PACKAGE_OF[name]}.msg"), name)
        setattr(self, name, value)
        return value

    def octets(self, data: bytes) -> Any:
        """An array.array: the one kind of sequence that ROS takes without looking at every byte."""
        return array("B", data)

    def doubles(self, values: Iterable[float]) -> Any:
        """An array.array."""
        return array("d", values)

    def byte(self, value: int) -> Any:
        """One byte as bytes."""
        return bytes([value])


@cache
def ros_types() -> RosTypes:
    """The one instance."""
    return RosTypes()


def message_class(name: str) -> Any:
    """The class of messages of a full type name, such as "sensor_msgs/msg/Image".

    Raises:
        ValueError: if the name is not of that form.
        ImportError: if the package is not installed.
        AttributeError: if the package has no such message.
    """
    parts = name.split("/")
    if len(parts) != 3 or parts[1] != "msg" or not all(part.isidentifier() for part in parts):
        raise ValueError(f"Message type {name!r}; expected <package>/msg/<name>")
    return getattr(import_module(f"{parts[0]}.msg"), parts[2])
