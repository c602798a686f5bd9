"""Images on disk, checked as they are read: an error is one sentence."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.frames.exif import orientation
from binpose_core.frames.pixels import Picture, to_eight_bits

_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
_UPRIGHT = 1


def read_image(path: Path) -> npt.NDArray[Any]:
    """The pixels as stored, OpenCV's channel order.

    Raises:
        BinposeError: for a file that is missing, empty or corrupt.
    """
    return _decoded(path, _content(path))


def read_picture(path: Path) -> Picture:
    """The colour image in a file of 8 or 16 bits with one, three or four channels.

    An alpha channel is dropped. The pixels stay as the sensor wrote them, whatever orientation EXIF states: the
    camera's matrix belongs to these.

    Raises:
        BinposeError: for a file that is missing or corrupt, or no such image.
    """
    content = _content(path)
    image = _decoded(path, content)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype not in (np.uint8, np.uint16):
        raise BadFile(
            f"Colour image {path} is of type {image.dtype}; expected 8 or 16 bits per channel; convert it first.", path
        )
    if channels != 1 and channels not in _TO_RGB:
        raise BadFile(f"Colour image {path} has {channels} channels; expected 1, 3 or 4; convert it first.", path)
    narrow, notes = to_eight_bits(image[..., :3] if channels == 4 else image)
    if channels == 4 and image[..., 3].min() < np.iinfo(image.dtype).max:
        notes += ("A colour image has transparent pixels: their colours were taken, the alpha channel was ignored.",)
    if orientation(content) not in (None, _UPRIGHT):
        notes += ("The EXIF data of a colour image states a rotation, which was ignored.",)
    if channels == 1:
        return Picture(narrow.reshape(image.shape[:2]), notes)
    return Picture(np.ascontiguousarray(narrow[..., ::-1]), notes)


def read_color(path: Path) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB or, for a file of one channel, (H, W) uint8; see `read_picture`."""
    return read_picture(path).color


def read_depth_m(path: Path, mm_per_unit: float) -> npt.NDArray[np.float32]:
    """(H, W) float32 metres of a depth image of 16 bits that counts units of `mm_per_unit` millimetres, 0 = invalid.

    Raises:
        BinposeError: for an image of another type or with more than one channel.
    """
    image = read_image(path)
    if image.dtype != np.uint16 or image.ndim != 2:
        channels = image.shape[2] if image.ndim == 3 else 1
        raise BadFile(
            f"Depth image {path} is {image.dtype} with {channels} channel{'s' * (channels > 1)}; expected 16 bit "
            "unsigned with one channel; export the raw depth, not a picture of it.",
            path,
        )
    return image.astype(np.float32) * np.float32(mm_per_unit * 1e-3)


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """(H, W) bool: the pixels that are not zero (in the first channel)."""
    image = read_image(path)
    return (image if image.ndim == 2 else image[..., 0]) > 0


def encode_png(image: npt.NDArray[Any]) -> bytes:
    """The bytes of a PNG file of (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise BinposeError(
            f"An image of shape {image.shape} and type {image.dtype} cannot be written as PNG; expected uint8 or "
            "uint16."
        )
    return data.tobytes()


def decode_image(content: bytes) -> npt.NDArray[Any] | None:
    """The pixels of a whole PNG, JPEG, TIFF or BMP file as stored, OpenCV's channel order; None for anything else."""
    if not content or _is_cut(content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a header that states more pixels than OpenCV takes
        return None


def _is_cut(content: bytes) -> bool:
    """Whether the end is missing: some decoders give grey pixels for the rest."""
    if content.startswith(b"\xff\xd8"):
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return content.startswith(b"\x89PNG") and b"IEND" not in content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(f"Cannot read image {path}: {error.strerror or error}; check the path.", path) from error


def _decoded(path: Path, content: bytes) -> npt.NDArray[Any]:
    image = decode_image(content)
    if image is None:
        raise BadFile(
            f"{path} ({len(content)} bytes) is not a readable image; expected a complete PNG, JPEG, TIFF or BMP file; "
            "it may be truncated: copy or record it again.",
            path,
        )
    return image
