"""ROS' message types without ROS: those of `rosbags`, which have the same fields and the same serialization."""

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel, make_object
from binpose_ros.message_types import PACKAGE_OF
from binpose_ros.stamps import Header

sys.path.insert(0, str(Path(__file__).parent))  # pytest's import mode leaves it out

# Of the packages that `rosbags` does not know; `make ros` generates their messages from the same files.
ROOT = Path(__file__).parents[2]
DEFINITIONS = {
    "vision_msgs": ROOT / "tools/ros/interfaces/vision_msgs/msg",
    "binpose_interfaces": ROOT / "src/binpose_interfaces/msg",
}


class RosbagsTypes:
    """The message classes of `rosbags`."""

    def __init__(self) -> None:
        typesys = pytest.importorskip("rosbags.typesys")
        self.store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        for package, folder in DEFINITIONS.items():
            for path in sorted(folder.glob("*.msg")):
                text = path.read_text(encoding="utf-8")
                self.store.register(typesys.get_types_from_msg(text, f"{package}/msg/{path.stem}"))

    def __getattr__(self, name: str) -> Any:
        return self.store.types[f"{PACKAGE_OF[name]}/msg/{name}"]

    def octets(self, data: bytes) -> Any:
        return np.frombuffer(data, np.uint8)

    def doubles(self, values: Iterable[float]) -> Any:
        return np.array(list(values), np.float64)

    def byte(self, value: int) -> Any:
        return value

    def sent(self, message: Any) -> Any:
        """The message after it went through ROS' serialization."""
        return self.read(self.serialized(message), message.__msgtype__)

    def read(self, data: bytes, name: str) -> Any:
        """The message in serialized data; `name` is short or full."""
        return self.store.deserialize_cdr(data, name if "/" in name else f"{PACKAGE_OF[name]}/msg/{name}")

    def serialized(self, message: Any) -> bytes:
        return bytes(self.store.serialize_cdr(message, message.__msgtype__))


@cache
def rosbags_types() -> RosbagsTypes:
    return RosbagsTypes()


@pytest.fixture(scope="session")
def types() -> RosbagsTypes:
    return rosbags_types()


@pytest.fixture
def header() -> Header:
    return Header(1_700_000_000_123_456_789, "camera_color_optical_frame")


@pytest.fixture
def camera() -> Camera:
    return Camera(200.0, 201.0, 31.5, 23.5, 64, 48)


@pytest.fixture(scope="session")
def block() -> ObjectModel:
    """A block of 40 x 20 x 10 mm whose origin is a corner."""
    corners = np.array([(x, y, z) for x in (0, 0.04) for y in (0, 0.02) for z in (0, 0.01)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return make_object(Mesh(corners, np.array(faces, np.int32)), "block", 1)
