"""Messages of images and their cameras, read and made on any machine, with or without ROS."""

import struct
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from binpose_core.errors import BinposeError
from binpose_core.image_files import decode_image
from binpose_ros.message_types import PACKAGE_OF
from binpose_ros.stamps import from_header, to_header

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
# A compressed depth image begins with an enum and the two numbers of its quantisation, as image_transport writes it.
_DEPTH_HEADER = struct.Struct("<iff")


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
    """The sensor_msgs/Image in serialized data, also in that of a CompressedImage (PNG, JPEG, compressedDepth).

    Raises:
        BinposeError: for data that is neither, or is compressed in another way.
    """
    message = read_message(data, type_name)
    return _decompressed(message) if type_name == COMPRESSED_IMAGE else message


def _decompressed(message: Any) -> Any:
    pixels = _depth_pixels(message) if "compressedDepth" in message.format else _pixels(message.data)
    encoding = None if pixels is None else _ENCODINGS.get((pixels.dtype.name, *pixels.shape[2:]))
    if pixels is None or encoding is None:
        raise BinposeError(
            f"A compressed image of format {message.format!r} and {len(message.data)} bytes cannot be read; expected "
            "JPEG, or PNG of 8 or 16 bits (depth: PNG in image_transport's compressedDepth); record the raw topic."
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


def _depth_pixels(message: Any) -> npt.NDArray[Any] | None:
    """Depth (H, W) of a compressedDepth message: uint16 millimetres or float32 metres, NaN where there is none.

    A float image comes as inverse depth, which the header's two numbers turn back
    (image_transport_plugins, compressed_depth_image_transport/src/codec.cpp). None where it cannot be read.
    """
    data = bytes(message.data)
    stored = _pixels(data[_DEPTH_HEADER.size :])
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        return None
    if not message.format.startswith("32FC1"):
        return stored
    _, a, b = _DEPTH_HEADER.unpack_from(data)
    if not a > 0 or not np.isfinite([a, b]).all():
        return None
    inverse = stored.astype(np.float32) - np.float32(b)
    return np.where((stored > 0) & (inverse > 0), np.float32(a) / np.where(inverse > 0, inverse, 1), np.float32(np.nan))


def _pixels(data: Any) -> npt.NDArray[Any] | None:
    """What a PNG or JPEG holds; None for something else."""
    return decode_image(bytes(data))


# By the type and, where there are several, the channels; OpenCV gives colour as BGR.
_ENCODINGS: dict[tuple[str | int, ...], str] = {
    ("uint8",): "mono8",
    ("uint8", 3): "bgr8",
    ("uint8", 4): "bgra8",
    ("uint16",): "16UC1",
    ("uint16", 3): "bgr16",
    ("float32",): "32FC1",
}
