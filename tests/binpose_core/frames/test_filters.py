import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.filters import DetectionFilter, PoseFilter
from binpose_core.frames.region import Region
from binpose_core.frames.types import Detection, PoseEstimate


def detection(u: float, score: float) -> Detection:
    return Detection("bolt", score, (0, 0, 1, 1), np.ones((1, 1), bool), (u, 10.0))


def test_detections_are_followed_up_by_score_and_region() -> None:
    found = [detection(10, 0.9), detection(10, 0.2), detection(90, 0.9)]
    assert DetectionFilter()(found) == found
    assert DetectionFilter(0.5)(found) == [found[0], found[2]]
    assert DetectionFilter(0.5, Region.from_text("0,0 50,0 50,50 0,50"))(found) == [found[0]]


def test_poses_are_reported_by_score_and_part() -> None:
    poses = [PoseEstimate(name, np.eye(4), score) for name, score in (("a", 0.8), ("b", 0.9), ("a", 0.3), ("b", 0.5))]
    assert PoseFilter().split(poses) == ([poses[0], poses[1], poses[3]], [poses[2]])
    assert PoseFilter(objects=("a",)).split(poses) == ([poses[0]], [poses[2]])
    assert PoseFilter(0.9).reported(poses) == [poses[1]]


def test_a_part_that_the_model_does_not_know_is_refused() -> None:
    chosen = PoseFilter(objects=("a", "cog"))
    assert chosen.wanted({"a": 1, "b": 2}) == {"a": 1}
    with pytest.raises(BinposeError, match=r"objects names cog; expected some of a, b, .*; choose among them"):
        chosen.check_objects({"a": 1, "b": 2})
    PoseFilter().check_objects({"a": 1})


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(BinposeError, match=f"threshold is {threshold}; expected 0 to 1"):
        PoseFilter(threshold=threshold)
