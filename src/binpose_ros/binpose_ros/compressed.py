"""sensor_msgs/CompressedImage -> sensor_msgs/Image: JPEG, PNG, and the depth images of image_transport.

Topics are named as image_transport names them: <topic>/compressed, and <topic>/compressedDepth for depth.
"""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.image_files import decode_image
from binpose_ros.stamps import from_header, to_header

RAW, COMPRESSED, COMPRESSED_DEPTH = "raw", "compressed", "compressedDepth"
COLOR_TRANSPORTS, DEPTH_TRANSPORTS = (RAW, COMPRESSED), (RAW, COMPRESSED, COMPRESSED_DEPTH)
# A compressed depth image begins with an enum and the two numbers of its quantisation.
_DEPTH_HEADER = struct.Struct("<iff")
# By the type and, where there are several, the channels; OpenCV gives colour as BGR.
_ENCODINGS: dict[tuple[str | int, ...], str] = {
    ("uint8",): "mono8",
    ("uint8", 3): "bgr8",
    ("uint8", 4): "bgra8",
    ("uint16",): "16UC1",
    ("uint16", 3): "bgr16",
    ("float32",): "32FC1",
}
# What one channel may also be, when the format names it as the encoding before the compression.
_SINGLE = {"mono8": ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"), "16UC1": ("mono16",)}


def transport_topic(topic: str, transport: str) -> str:
    """The topic of a transport; one that is named in full stays as it is."""
    return topic if transport == RAW or topic.endswith(f"/{transport}") else f"{topic}/{transport}"


def decompress(message: Any, types: Any) -> Any:
    """The sensor_msgs/Image of a sensor_msgs/CompressedImage.

    Args:
        message: JPEG, or PNG of 8 or 16 bits; depth: PNG in image_transport's compressedDepth.
        types: message classes, see `message_types.MessageTypes`.

    Raises:
        BinposeError: for data that is incomplete, or compressed in another way.
    """
    pixels = _depth_pixels(message) if COMPRESSED_DEPTH in message.format else decode_image(bytes(message.data))
    encoding = None if pixels is None else _ENCODINGS.get((pixels.dtype.name, *pixels.shape[2:]))
    if pixels is None or encoding is None:
        raise BinposeError(
            f"A compressed image of format {message.format!r} and {len(message.data)} bytes cannot be read; expected "
            "JPEG, or PNG of 8 or 16 bits (depth: PNG in image_transport's compressedDepth), all of it; use the raw "
            "topic.",
            Reason.UNKNOWN_ENCODING,
        )
    return types.Image(
        header=to_header(from_header(message), types),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=_named(encoding, message.format),
        is_bigendian=0,
        step=pixels.nbytes // pixels.shape[0],
        data=types.octets(np.ascontiguousarray(pixels).tobytes()),
    )


def _named(encoding: str, text: str) -> str:
    """The encoding, or what the format says that the one channel holds: "bayer_rggb8; png compressed"."""
    before, _, after = text.partition(";")
    converted = after.partition("compressed")[2].strip() or before.strip()
    return converted if converted in _SINGLE.get(encoding, ()) else encoding


def _depth_pixels(message: Any) -> npt.NDArray[Any] | None:
    """Depth (H, W) of a compressedDepth message: uint16 millimetres or float32 metres, NaN where there is none.

    A float image comes as inverse depth, which the header's two numbers turn back
    (image_transport_plugins, compressed_depth_image_transport/src/codec.cpp). None where it cannot be read.
    """
    data = bytes(message.data)
    stored = decode_image(data[_DEPTH_HEADER.size :])
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        return None
    if not message.format.startswith("32FC1"):
        return stored
    _, a, b = _DEPTH_HEADER.unpack_from(data)
    if not a > 0 or not np.isfinite([a, b]).all():
        return None
    inverse = stored.astype(np.float32) - np.float32(b)
    return np.where((stored > 0) & (inverse > 0), np.float32(a) / np.where(inverse > 0, inverse, 1), np.float32(np.nan))
