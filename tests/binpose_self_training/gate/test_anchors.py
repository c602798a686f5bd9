"""What counts as a loss of a part on the labelled frames: parts that are not found any more, and wrong poses."""

import pytest

from binpose_core.evaluation.matching import FrameEvaluation, MatchedEstimate, MatchedPart, Verdict
from binpose_self_training.gate.anchors import KEPT, LOST, OPEN, AnchorConfig, PartComparison, compare_parts

PARTS = 40


def evaluation(found: int, wrong: int) -> list[FrameEvaluation]:
    """One frame with parts of which the first ones are found, and wrong poses beside them."""
    parts = [MatchedPart("bolt", 0.9 if number < found else float("-inf"), 0.0) for number in range(PARTS)]
    estimates = [MatchedEstimate("bolt", 0.9, Verdict.WRONG, -1, 1.0)] * wrong
    return [FrameEvaluation("frame", tuple(estimates), tuple(parts))]


def compared(
    champion: tuple[int, int], candidate: tuple[int, int], config: AnchorConfig | None = None
) -> PartComparison:
    """A part that both models find so often, with so many wrong poses."""
    bolt, _ = compare_parts(evaluation(*champion), evaluation(*candidate), 0.5, config)
    return bolt


@pytest.mark.parametrize(
    ("champion", "candidate", "state"),
    [
        ((30, 2), (30, 2), KEPT),
        ((30, 2), (38, 2), KEPT),
        ((30, 2), (10, 2), LOST),
        ((30, 2), (28, 2), OPEN),
        ((30, 2), (30, 20), LOST),
        ((30, 6), (30, 11), OPEN),
    ],
)
def test_a_part_is_lost_with_right_poses_or_by_wrong_ones(
    champion: tuple[int, int], candidate: tuple[int, int], state: str
) -> None:
    assert compared(champion, candidate).state == state


def test_a_part_that_is_new_may_bring_some_wrong_poses_but_not_as_many_as_right_ones() -> None:
    """A model that does not know a part reports no wrong pose of it, and is not better for that."""
    assert compared((0, 0), (20, 8)).state == KEPT
    assert compared((0, 0), (20, 20)).state == LOST
    assert compared((0, 0), (20, 8), AnchorConfig(wrong_per_gained=0.0)).state == LOST
