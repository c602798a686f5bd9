"""What the numbers of a colour image mean, for files and for messages."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Cameras of 10, 12 or 14 bits fill 16 with zeros above their highest bit (right-aligned) or below their lowest one.
BIT_DEPTHS = (8, 10, 12, 14, 16)


class Picture(NamedTuple):
    """A colour image (H, W, 3) uint8 RGB or (H, W) uint8 mono, and a sentence about each thing that was ignored."""

    color: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def to_eight_bits(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """The eight highest bits of an image of 8 or 16 bits, and a note where 16 bits are not filled.

    The bit depth is the smallest of 10, 12, 14 and 16 that holds the largest value. So the same scene gives the same
    picture whether a camera writes its 12 bits at the upper or at the lower end of 16.

    Args:
        pixels: (H, W) or (H, W, channels) uint8 or uint16.
    """
    if pixels.dtype == np.uint8:
        return pixels, ()
    highest = int(pixels.max(initial=0))
    bits = next(bits for bits in BIT_DEPTHS if highest < 1 << bits)
    narrow = (pixels >> np.uint16(bits - 8)).astype(np.uint8)
    if bits == BIT_DEPTHS[-1]:
        return narrow, ()
    return narrow, (f"A colour image of 16 bits has no value of {1 << bits} or more: read as one of {bits} bits.",)
