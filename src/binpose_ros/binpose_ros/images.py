"""sensor_msgs/Image <-> numpy, for every encoding that a colour or a depth camera publishes.

Images that arrive are read with numpy and OpenCV, which takes Bayer patterns, YUV and padded rows of any camera. Images
that are published are made by cv_bridge where it is installed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.pixels import Picture, to_eight_bits
from binpose_core.frames.rgbd_frame import depth_from_encoding
from binpose_ros.message_types import RosTypes
from binpose_ros.ros_packages import cv_bridge
from binpose_ros.stamps import Header, from_header, to_header

Pixels = npt.NDArray[Any]


class Layout(NamedTuple):
    """How the pixels of an encoding lie in memory, and how colour is made of their eight highest bits.

    to_color is None where the image is no picture.
    """

    dtype: str
    channels: int
    to_color: Callable[[Pixels], Pixels] | None = None


def _convert(code: int) -> Callable[[Pixels], Pixels]:
    return lambda pixels: cv2.cvtColor(pixels, code)


LAYOUTS = {
    "rgb8": Layout("u1", 3, np.ascontiguousarray),
    "bgr8": Layout("u1", 3, _convert(cv2.COLOR_BGR2RGB)),
    "rgba8": Layout("u1", 4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": Layout("u1", 4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono8": Layout("u1", 1, np.ascontiguousarray),
    "8UC1": Layout("u1", 1, np.ascontiguousarray),
    "rgb16": Layout("u2", 3, np.ascontiguousarray),
    "bgr16": Layout("u2", 3, _convert(cv2.COLOR_BGR2RGB)),
    "rgba16": Layout("u2", 4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra16": Layout("u2", 4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono16": Layout("u2", 1, np.ascontiguousarray),
    # OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first four.
    **{
        f"bayer_{pattern}{8 * size}": Layout(f"u{size}", 1, _convert(code))
        for size in (1, 2)
        for pattern, code in (
            ("rggb", cv2.COLOR_BayerBG2RGB),
            ("bggr", cv2.COLOR_BayerRG2RGB),
            ("gbrg", cv2.COLOR_BayerGR2RGB),
            ("grbg", cv2.COLOR_BayerGB2RGB),
        )
    },
    "yuv422": Layout("u1", 2, _convert(cv2.COLOR_YUV2RGB_UYVY)),
    "uyvy": Layout("u1", 2, _convert(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": Layout("u1", 2, _convert(cv2.COLOR_YUV2RGB_YUY2)),
    "yuyv": Layout("u1", 2, _convert(cv2.COLOR_YUV2RGB_YUY2)),
    "16UC1": Layout("u2", 1),
    "32FC1": Layout("f4", 1),
}
COLOR_ENCODINGS = tuple(name for name, layout in LAYOUTS.items() if layout.to_color is not None)
DEPTH_ENCODINGS = ("32FC1", "16UC1")
SHARED_CHROMA = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")  # by two neighbours in a row


def to_pixels(message: Any) -> Pixels:
    """The pixels (H, W) or (H, W, channels) of a message in the machine's byte order, as they were encoded.

    Raises:
        BinposeError: for an unknown encoding, or data that is too short for the size it states.
    """
    layout = LAYOUTS.get(message.encoding)
    if layout is None:
        raise _unknown(message, tuple(LAYOUTS))
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * layout.channels * int(layout.dtype[1])
    data = np.frombuffer(message.data, np.uint8)
    # Some drivers leave out the padding of the last row.
    whole = data.size in (step * height, step * (height - 1) + row_bytes)
    if height < 1 or width < 1 or step < row_bytes or not whole:
        raise BinposeError(
            f"An image of {width}x{height} pixels in {message.encoding} has {data.size} bytes in rows of {step}; "
            f"expected {height} rows of at least {row_bytes} bytes; check the camera's driver.",
            Reason.DAMAGED_IMAGE,
        )
    if width % 2 and message.encoding in SHARED_CHROMA:
        raise BinposeError(
            f"An image of {width}x{height} pixels in {message.encoding}, where two neighbours share their colour; "
            "expected an even width; set the camera to one, or to another encoding.",
            Reason.DAMAGED_IMAGE,
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row_bytes), (step, 1), writeable=False)
    typed = np.ascontiguousarray(rows).view((">" if message.is_bigendian else "<") + layout.dtype)
    native = typed.astype(np.dtype(layout.dtype), copy=False)
    return native.reshape((height, width, layout.channels) if layout.channels > 1 else (height, width))


def to_picture(message: Any) -> Picture:
    """The picture in a message, and what was ignored.

    Raises:
        BinposeError: for an encoding that is no colour, or damaged data.
    """
    layout = LAYOUTS.get(message.encoding)
    if layout is None or layout.to_color is None:
        raise _unknown(message, COLOR_ENCODINGS)
    pixels, notes = to_eight_bits(to_pixels(message))
    return Picture(layout.to_color(pixels), notes)


def to_color(message: Any) -> npt.NDArray[np.uint8]:
    """The picture (H, W, 3) uint8 RGB, or (H, W) uint8 for one channel; see `to_picture`."""
    return to_picture(message).color


def to_depth_m(message: Any) -> npt.NDArray[np.float32]:
    """The depth (H, W) float32 in metres; NaN and 0 are invalid (REP-118).

    Raises:
        BinposeError: for an encoding other than 32FC1 and 16UC1, or damaged data.
    """
    if message.encoding not in DEPTH_ENCODINGS:
        raise _unknown(message, DEPTH_ENCODINGS)
    return depth_from_encoding(to_pixels(message), message.encoding, from_header(message).frame_id)


def from_color(color: npt.NDArray[np.uint8], header: Header, types: Any) -> Any:
    """A message of a picture (H, W, 3) uint8 RGB or (H, W) uint8."""
    return _to_message(color, "rgb8" if color.ndim == 3 else "mono8", header, types)


def from_depth_m(depth_m: npt.NDArray[np.float32], header: Header, types: Any, encoding: str = "32FC1") -> Any:
    """A message of a depth image (H, W) float32 in metres, 0 = invalid; as 16UC1 rounded to millimetres.

    Raises:
        BinposeError: for another encoding.
    """
    if encoding == "32FC1":
        return _to_message(depth_m.astype(np.float32, copy=False), encoding, header, types)
    if encoding == "16UC1":
        return _to_message(np.clip(np.rint(depth_m * 1e3), 0, 65535).astype(np.uint16), encoding, header, types)
    raise BinposeError(f"Depth cannot be published as {encoding!r}; expected {' or '.join(DEPTH_ENCODINGS)} (REP-118).")


def from_labels(labels: npt.NDArray[np.uint16], header: Header, types: Any) -> Any:
    """A message of an image (H, W) uint16 of instance numbers, in 16UC1."""
    return _to_message(labels, "16UC1", header, types)


def _to_message(pixels: Pixels, encoding: str, header: Header, types: Any) -> Any:
    bridge = cv_bridge() if isinstance(types, RosTypes) else None
    if bridge is not None:
        return bridge.cv2_to_imgmsg(pixels, encoding, header=to_header(header, types))
    height, width = pixels.shape[:2]
    little = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False)
    return types.Image(
        header=to_header(header, types),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=little.nbytes // height,
        data=types.octets(little.tobytes()),
    )


def _unknown(message: Any, expected: tuple[str, ...]) -> BinposeError:
    return BinposeError(
        f"An image with encoding {message.encoding!r} from {from_header(message).frame_id!r}; expected "
        f"{', '.join(expected)}; set the camera to one of these, or convert it with image_proc.",
        Reason.UNKNOWN_ENCODING,
    )
