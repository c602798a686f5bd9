"""What travels between the stages keeps its promises."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Detection, PoseEstimate

MASK = np.array([[True, False, True], [False, True, True]])


def detection(bbox_xyxy: tuple[int, int, int, int] = (4, 1, 7, 3)) -> Detection:
    return Detection("cog", 0.9, bbox_xyxy, MASK, (5.0, 2.0))


def test_the_full_mask_cropped_to_the_box_is_the_mask() -> None:
    full = detection().full_mask(6, 10)
    assert full.shape == (6, 10)
    np.testing.assert_array_equal(full[1:3, 4:7], MASK)
    assert full.sum() == MASK.sum()


def test_a_mask_that_does_not_fit_its_box_is_refused() -> None:
    with pytest.raises(BinposeError, match=r"shape \(2, 3\) with box \(4, 1, 8, 3\).*\(2, 4\)"):
        detection((4, 1, 8, 3))


def test_results_are_equal_to_themselves_alone() -> None:
    one, other = (PoseEstimate("cog", np.eye(4), 0.5, 0) for _ in range(2))
    assert one in [other, one] and one != other and len({one, other, one}) == 2


def test_results_cannot_be_changed_afterwards() -> None:
    estimate = PoseEstimate("cog", np.eye(4), 0.5, 0)
    with pytest.raises(FrozenInstanceError):
        estimate.score = 1.0  # type: ignore[misc]


def test_a_detection_of_a_mask_has_that_mask_and_its_middle(rng: np.random.Generator) -> None:
    mask = rng.random((9, 14)) < 0.1
    mask[4, 6] = True
    found = Detection.from_mask("cog", 0.7, mask)
    np.testing.assert_array_equal(found.full_mask(9, 14), mask)
    v, u = np.nonzero(mask)
    np.testing.assert_allclose(found.center_px, (u.mean(), v.mean()))
    assert Detection.from_mask("cog", 0.7, mask, (1.0, 2.0), 0.5).center_px == (1.0, 2.0)


def test_a_detection_without_a_pixel_is_refused() -> None:
    with pytest.raises(BinposeError, match="'cog' is empty"):
        Detection.from_mask("cog", 0.7, np.zeros((3, 4), bool))
