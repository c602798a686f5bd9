import numpy as np
import torch

from binpose_estimator.point_sampling import pixel_order, sample_pixels

SIZE = 32


def test_samples_are_usable_distinct_and_the_same_every_time(rng: np.random.Generator) -> None:
    usable = torch.from_numpy(rng.random((3, SIZE * SIZE)) < 0.3)
    index, seen = sample_pixels(usable, pixel_order(SIZE), 100)
    assert seen.all() and usable.gather(1, index).all()
    assert all(len(row.unique()) == 100 for row in index)
    torch.testing.assert_close(sample_pixels(usable, pixel_order(SIZE), 100)[0], index)


def test_few_pixels_repeat_equally_often() -> None:
    usable = torch.zeros(2, SIZE * SIZE, dtype=torch.bool)
    usable[0, [5, 77, 600]] = True
    index, seen = sample_pixels(usable, pixel_order(SIZE), 12)
    values, counts = index[0].unique(return_counts=True)
    assert values.tolist() == [5, 77, 600] and counts.tolist() == [4, 4, 4]
    assert seen.tolist() == [True, False]


def test_samples_are_spread_over_the_mask() -> None:
    """Every block of 8 x 8 pixels has its share of the samples of a full image, within two."""
    index, _ = sample_pixels(torch.ones(1, SIZE * SIZE, dtype=torch.bool), pixel_order(SIZE), 64)
    rows, columns = index[0] // SIZE, index[0] % SIZE
    counts = torch.bincount(rows // 8 * 4 + columns // 8, minlength=16)
    assert (counts - 4).abs().max() <= 2
