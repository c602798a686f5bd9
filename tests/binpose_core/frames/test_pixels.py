"""The same scene gives the same picture, wherever in 16 bits a camera writes its own."""

import numpy as np
import pytest

from binpose_core.frames.pixels import to_eight_bits


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_bits_at_the_lower_end_are_read_like_those_at_the_upper_end(rng, bits, shape):
    stored = rng.integers(0, 1 << bits, shape, dtype=np.uint16)
    stored[0, 0] = (1 << bits) - 1
    upper, upper_notes = to_eight_bits(stored << np.uint16(16 - bits))
    lower, (note,) = to_eight_bits(stored)
    np.testing.assert_array_equal(lower, upper)
    assert lower.dtype == np.uint8 and not upper_notes and f"read as one of {bits} bits" in note


def test_eight_bits_stay_as_they_are(rng):
    stored = rng.integers(0, 255, (7, 9), dtype=np.uint8)
    pixels, notes = to_eight_bits(stored)
    np.testing.assert_array_equal(pixels, stored)
    assert not notes
