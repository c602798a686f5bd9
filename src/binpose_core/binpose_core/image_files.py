"""Images on disk, checked as they are read: whatever is wrong with a file is told in one sentence."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.errors import BinposeError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


def find_image(directory: Path, stem: str) -> Path | None:
    """The image file of that name in the directory, whatever its format; None if there is none."""
    return next(
        (path for ext in EXTENSIONS if (path := directory / f"{stem}{ext}").is_file()),
        None,
    )


def read_image(path: Path) -> npt.NDArray[Any]:
    """The pixels as stored, OpenCV's channel order.

    Raises:
        BinposeError: for a file that is missing, empty or corrupt.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise BinposeError(f"Cannot read image {path}: {error.strerror or error}; check the path.") from error
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise BinposeError(
            f"{path} ({data.size} bytes) is not a readable image; expected a complete PNG, JPEG or TIFF file; "
            "it may be truncated: copy or record it again."
        )
    return image


def read_color(path: Path) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB or, for a file of one channel, (H, W) uint8; an alpha channel is dropped."""
    image = read_image(path)
    if image.dtype != np.uint8:
        raise BinposeError(
            f"Colour image {path} is of type {image.dtype}; expected 8 bits per channel; convert it first."
        )
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels == 1:
        return image.reshape(image.shape[:2])
    if channels not in _TO_RGB:
        raise BinposeError(f"Colour image {path} has {channels} channels; expected 1, 3 or 4; convert it first.")
    return np.asarray(cv2.cvtColor(image, _TO_RGB[channels]), dtype=np.uint8)


def read_depth_m(path: Path, mm_per_unit: float) -> npt.NDArray[np.float32]:
    """(H, W) float32 metres of a depth image of 16 bits that counts units of `mm_per_unit` millimetres, 0 = invalid.

    Raises:
        BinposeError: for an image of another type or with more than one channel.
    """
    image = read_image(path)
    if image.dtype != np.uint16 or image.ndim != 2:
        channels = image.shape[2] if image.ndim == 3 else 1
        raise BinposeError(
            f"Depth image {path} is {image.dtype} with {channels} channel{'s' * (channels > 1)}; expected 16 bit "
            "unsigned with one channel; export the raw depth, not a picture of it."
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
