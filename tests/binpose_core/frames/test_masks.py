import numpy as np

from binpose_core.frames.masks import box_xyxy


def test_the_box_holds_all_of_the_mask_and_no_smaller_one_does(rng: np.random.Generator) -> None:
    for _ in range(50):
        mask = np.zeros((12, 17), bool)
        mask[tuple(rng.integers(0, (12, 17), (int(rng.integers(1, 6)), 2)).T)] = True
        x0, y0, x1, y1 = box_xyxy(mask)
        inside = mask[y0:y1, x0:x1]
        assert inside.sum() == mask.sum()
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_an_empty_mask_has_an_empty_box() -> None:
    assert box_xyxy(np.zeros((3, 4), bool)) == (0, 0, 0, 0) == box_xyxy(np.zeros((0, 0), bool))
