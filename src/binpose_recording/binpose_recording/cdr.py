"""Serializes and deserializes messages of images and camera infos, with or without ROS."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from binpose_core.base.errors import BinposeError
from binpose_ros.compressed import decompress
from binpose_ros.message_types import PACKAGE_OF

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"


@cache
def standard_types() -> Typestore:
    """ROS 2 Jazzy's types; those of images and camera info are equal in all distributions since 2020."""
    return get_typestore(Stores.ROS2_JAZZY)


class BagTypes:
    """Message classes by their short names, for the conversions in `binpose_ros`."""

    def __getattr__(self, name: str) -> Any:
        if name not in PACKAGE_OF:
            raise AttributeError(name)
        return standard_types().types[f"{PACKAGE_OF[name]}/msg/{name}"]

    def octets(self, data: bytes) -> npt.NDArray[np.uint8]:
        """A sequence of uint8."""
        return np.frombuffer(data, np.uint8)

    def doubles(self, values: Iterable[float]) -> npt.NDArray[np.float64]:
        """A sequence of float64."""
        return np.array(list(values), np.float64)


def read_message(data: bytes, type_name: str) -> Any:
    """The deserialized message.

    Raises:
        BinposeError: if the data is not a message of that type.
    """
    try:
        return standard_types().deserialize_cdr(data, type_name)
    except Exception as error:  # the generated code of rosbags raises different errors for invalid data
        raise BinposeError(
            f"{len(data)} bytes are no {type_name} ({error or type(error).__name__}); expected a whole message; the "
            "bag or its sender is damaged."
        ) from error


def write_message(message: Any) -> bytes:
    """The serialized form of a message of `BagTypes`."""
    return bytes(standard_types().serialize_cdr(message, message.__msgtype__))


def read_image(data: bytes, type_name: str) -> Any:
    """The sensor_msgs/Image in serialized data; a CompressedImage (PNG, JPEG, compressedDepth) is decompressed.

    Raises:
        BinposeError: for other data or compressions.
    """
    message = read_message(data, type_name)
    return decompress(message, BagTypes()) if type_name == COMPRESSED_IMAGE else message
