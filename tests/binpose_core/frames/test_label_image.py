import numpy as np
import pytest

from binpose_core.frames.label_image import NO_DETECTION, box_slices, label_image
from binpose_core.frames.types import Detection


def detection(score: float, box: tuple[int, int, int, int]) -> Detection:
    x0, y0, x1, y1 = box
    return Detection("cog", score, box, np.ones((y1 - y0, x1 - x0), bool), (0.0, 0.0))


@pytest.mark.parametrize(("first", "second", "owner"), [(0.9, 0.4, 0), (0.4, 0.9, 1), (0.5, 0.5, 0), (0.1, np.nan, 0)])
def test_the_better_detection_owns_the_shared_pixels_and_of_equal_ones_the_earlier(
    first: float, second: float, owner: int
) -> None:
    labels = label_image([detection(first, (0, 0, 4, 4)), detection(second, (2, 2, 6, 6))], 8, 10)
    assert (
        (labels[2:4, 2:4] == owner).all() and labels[0, 0] == 0 and labels[5, 5] == 1 and labels[7, 9] == NO_DETECTION
    )


def test_a_mask_is_labelled_where_it_is(rng: np.random.Generator) -> None:
    masks = rng.integers(0, 4, (12, 15))[None] == np.arange(1, 4)[:, None, None]
    found = [Detection.from_mask("cog", score, mask) for score, mask in zip((0.2, 0.8, 0.5), masks, strict=True)]
    np.testing.assert_array_equal(label_image(found, 12, 15) == np.arange(3)[:, None, None], masks)


@pytest.mark.parametrize("box", [(-2, -1, 3, 2), (8, 6, 12, 10), (20, 0, 24, 4), (0, 20, 4, 24), (-9, 2, -3, 5)])
def test_what_lies_outside_the_image_is_left_out(box: tuple[int, int, int, int]) -> None:
    labels = label_image([detection(0.9, box)], 8, 10)
    x0, y0, x1, y1 = np.clip(box, 0, (10, 8, 10, 8))
    assert (labels == 0).sum() == (y1 - y0) * (x1 - x0) == (labels[y0:y1, x0:x1] == 0).sum()


def test_a_margin_widens_a_box_within_the_image() -> None:
    assert box_slices((2, 3, 5, 6), (8, 10), margin=4) == (slice(0, 8), slice(0, 9))
