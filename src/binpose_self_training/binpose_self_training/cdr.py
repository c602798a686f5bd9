"""Messages of images and their cameras, read and made on any machine, with or without ROS."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from binpose_core.errors import BinposeError
from binpose_ros.message_types import PACKAGE_OF
from binpose_ros.stamps import from_header, to_header

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
# A compressed depth image begins with its quantisation, which PNG does not need.
_DEPTH_HEADER_BYTES = 12


@cache
def standard_types() -> Typestore:
    """ROS 2 Jazzy's types; those of images and camera info are the same in all distributions since 2020."""
    return get_typestore(Stores.ROS2_JAZZY)


class BagTypes:
    """Classes of messages by their short names, for the conversions in `binpose_ros`."""

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
    """The message in serialized data.

    Raises:
        BinposeError: for data that is no message of that type.
    """
    try:
        return standard_types().deserialize_cdr(data, type_name)
    except Exception as error:  # rosbags' code for each type fails in ways of its own, all for the same reason.
        raise BinposeError(
            f"{len(data)} bytes are no {type_name} ({error or type(error).__name__}); expected a whole message; the "
            "bag or its sender is damaged."
        ) from error


def write_message(message: Any) -> bytes:
    """The serialized form of a message of `BagTypes`."""
    return bytes(standard_types().serialize_cdr(message, message.__msgtype__))


def read_image(data: bytes, type_name: str) -> Any:
    """The sensor_msgs/Image in serialized data, also in that of a sensor_msgs/CompressedImage (PNG, JPEG, 16 bit PNG).

    Raises:
        BinposeError: for data that is neither, or is compressed in another way.
    """
    message = read_message(data, type_name)
    return _decompressed(message) if type_name == COMPRESSED_IMAGE else message


def _decompressed(message: Any) -> Any:
    content = np.asarray(message.data, np.uint8)
    if "compressedDepth" in message.format:
        content = content[_DEPTH_HEADER_BYTES:]
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    encoding = None if pixels is None else _ENCODINGS.get((pixels.dtype.name, pixels.ndim))
    if pixels is None or encoding is None or ("compressedDepth" in message.format and encoding != "16UC1"):
        raise BinposeError(
            f"A compressed image of format {message.format!r} and {content.size} bytes cannot be read; expected JPEG, "
            "or PNG of 8 or 16 bits (depth in millimetres); record the raw topic."
        )
    types = BagTypes()
    return types.Image(
        header=to_header(from_header(message), types),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // pixels.shape[0],
        data=pixels.reshape(-1).view(np.uint8),
    )


_ENCODINGS = {("uint8", 2): "mono8", ("uint8", 3): "bgr8", ("uint16", 2): "16UC1"}
