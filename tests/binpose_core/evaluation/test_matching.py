"""Who is right: matching by hand, and the laws of ignoring and not knowing."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset
from binpose_core.evaluation.matching import (
    EvaluationConfig,
    Evaluator,
    FrameTruth,
    GroundTruth,
    Verdict,
    ground_truths,
    labelled_scores,
    match,
)
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.camera import Camera
from binpose_core.frames.region import Region
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation

CAMERA = Camera(600.0, 600.0, 320.0, 240.0, 640, 480)
RIGHT, WRONG, IGNORED, UNKNOWN = Verdict.RIGHT, Verdict.WRONG, Verdict.IGNORED, Verdict.UNKNOWN


def at(x_m, turn_rad=0.0):
    return from_rotation_translation(exp_so3(np.array([0, 0, turn_rad])), np.array([x_m, 0, 0.5]))


def estimate(x_m, score, object_id="bracket", turn_rad=0.0):
    return PoseEstimate(object_id, at(x_m, turn_rad), score)


def known(x_m, object_id="bracket", **kinds):
    return GroundTruth(object_id, at(x_m), **kinds)


@pytest.fixture(scope="module")
def errors(bracket, bar):
    return {"bracket": PartErrors(bracket), "bar": PartErrors(bar)}


@pytest.fixture
def judge(errors):
    def judge(parts, estimates, **kinds):
        return Evaluator(errors)("frame", FrameTruth(parts, **kinds), estimates)

    return judge


def verdicts(evaluation):
    return [estimate.verdict for estimate in evaluation.estimates]


class TestMatch:
    def test_by_hand(self):
        # The best score takes part 1 although the second is nearer to it; the second falls back to part 0.
        errors = np.array([[0.3, 0.2], [0.25, 0.1], [0.2, 0.2]])
        assert match(errors, np.array([0.9, 0.8, 0.7]), 0.5).tolist() == [1, 0, -1]
        assert match(errors, np.array([0.8, 0.9, 0.7]), 0.5).tolist() == [0, 1, -1]

    def test_the_threshold_is_strict(self):
        assert match(np.array([[0.5]]), np.ones(1), 0.5).tolist() == [-1]

    def test_parts_that_do_not_count_are_a_second_choice(self):
        errors = np.array([[0.1, 0.4], [0.1, 0.4]])
        assert match(errors, np.array([2.0, 1.0]), 0.5, np.array([False, True])).tolist() == [1, 0]

    def test_leaving_out_lower_scores_changes_no_match(self, rng):
        for _ in range(20):
            errors, scores, counts = rng.random((6, 4)), rng.random(6), rng.random(4) > 0.3
            owners = match(errors, scores, 0.4, counts)
            assert len(set(owners[owners >= 0])) == (owners >= 0).sum(), "each part is taken once"
            kept = scores > np.median(scores)
            assert np.array_equal(match(errors[kept], scores[kept], 0.4, counts), owners[kept])

    @pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
    def test_nothing_to_match(self, shape):
        assert match(np.zeros(shape), np.zeros(shape[0]), 1.0).tolist() == [-1] * shape[0]


def test_right_wrong_and_duplicate(judge):
    evaluation = judge([known(0), known(0.2)], [estimate(0.001, 0.6), estimate(0, 0.9), estimate(0.1, 0.8)])
    assert verdicts(evaluation) == [WRONG, RIGHT, WRONG]
    assert [item.duplicate for item in evaluation.estimates] == [True, False, False]
    assert [item.part for item in evaluation.estimates] == [-1, 0, -1]
    assert [(part.score, part.relative_error) for part in evaluation.parts] == [(0.9, 0.0), (-np.inf, np.inf)]


def test_objects_are_judged_apart(judge):
    evaluation = judge([known(0, "bar"), known(0.2)], [estimate(0, 0.9), estimate(0, 0.5, "bar"), estimate(0.2, 0.4)])
    assert verdicts(evaluation) == [WRONG, RIGHT, RIGHT]
    assert [item.part for item in evaluation.estimates] == [-1, 0, 1]


def test_the_error_is_that_of_the_kind_of_part(judge, errors):
    # Half a turn about the bar's axis leaves it as it was; half a turn of the bracket is another pose.
    turned = from_rotation_translation(exp_so3(np.array([0, 0, np.pi])), np.array([0.004, 0, 0.5]))
    assert verdicts(judge([known(0, "bar")], [PoseEstimate("bar", turned, 1.0)])) == [RIGHT]
    assert verdicts(judge([known(0)], [PoseEstimate("bracket", turned, 1.0)])) == [WRONG]
    strict = Evaluator(errors, EvaluationConfig(error="add"))
    assert verdicts(strict("frame", FrameTruth([known(0, "bar")]), [PoseEstimate("bar", turned, 1.0)])) == [WRONG]


def test_the_limit_is_a_share_of_the_diameter(judge, bracket):
    within, beyond = (share * bracket.diameter_m for share in (0.099, 0.101))
    assert verdicts(judge([known(0)], [estimate(within, 1.0)])) == [RIGHT]
    assert verdicts(judge([known(0)], [estimate(beyond, 1.0)])) == [WRONG]


@pytest.mark.parametrize("kinds", [{"visible_fraction": 0.05}, {"ignored": True}])
def test_an_ignored_part_is_neither_missed_nor_a_mistake(judge, kinds):
    assert judge([known(0, **kinds)], []).parts == ()
    evaluation = judge([known(0, **kinds), known(0.2)], [estimate(0, 0.9), estimate(0.001, 0.8)])
    assert verdicts(evaluation) == [IGNORED, WRONG], "but finding it twice is one"
    assert len(evaluation.parts) == 1


def test_unknown_visibility_counts_as_visible(judge):
    assert len(judge([known(0), known(0.2, visible_fraction=0.1)], []).parts) == 2


def test_an_extra_estimate_of_a_partly_annotated_object_is_unknown(judge):
    estimates = [estimate(0, 0.9), estimate(0.1, 0.8), estimate(0.001, 0.7), estimate(0.1, 0.8, "bar")]
    evaluation = judge([known(0)], estimates, complete={"bar"})
    assert verdicts(evaluation) == [RIGHT, UNKNOWN, WRONG, WRONG], "a duplicate is wrong all the same"


def test_outside_the_regions_an_extra_estimate_is_wrong(judge):
    # 600 px * x / 0.5 m + 320: x = 0 is column 320, x = 0.1 column 440, x = 0.2 column 560.
    region = Region([np.array([[300, 200], [460, 200], [460, 280], [300, 280]]), np.array([[0, 0], [9, 0], [0, 9]])])
    estimates = [estimate(0.1, 0.9), estimate(0.2, 0.8), estimate(0.25, 0.7)]
    evaluation = judge([known(0.25)], estimates, complete=(), region=region, camera=CAMERA)
    assert verdicts(evaluation) == [UNKNOWN, WRONG, RIGHT], "a known part is right wherever it lies"
    assert [item.outside for item in evaluation.estimates] == [False, True, False]
    behind = PoseEstimate("bracket", at(0) * [[1], [1], [-1], [1]], 0.9)
    assert judge([], [behind], complete=(), region=region, camera=CAMERA).estimates[0].outside


def test_an_estimate_on_unknown_pixels_is_neither_right_nor_wrong(judge):
    """Elsewhere it is wrong, and what is right for a known part stays right, also a second time wrong."""
    camera = Camera(200.0, 200.0, 49.5, 39.5, 100, 80)
    unknown = np.zeros((80, 100), bool)
    unknown[:, 70:] = True  # from x = 0.05 m on
    estimates = [estimate(0, 0.9), estimate(0, 0.8), estimate(0.1, 0.7), estimate(-0.1, 0.6), estimate(0.1, 0.5, "bar")]
    kinds = {"camera": camera, "unknown": unknown}
    expected = [Verdict.RIGHT, Verdict.WRONG, Verdict.UNKNOWN, Verdict.WRONG, Verdict.UNKNOWN]
    assert verdicts(judge([known(0)], estimates, **kinds)) == expected
    assert verdicts(judge([known(0), known(0.1)], estimates, **kinds))[2] == Verdict.RIGHT
    nothing = {"camera": camera, "unknown": np.zeros_like(unknown)}
    assert Verdict.UNKNOWN not in verdicts(judge([known(0)], estimates, **nothing))


def test_labels_for_calibration_leave_out_what_is_not_known(judge):
    frames = [judge([known(0)], [estimate(0, 0.9), estimate(0.1, 0.8), estimate(0, 0.3)], complete=())]
    scores, right = labelled_scores(frames)
    assert scores.tolist() == [0.9, 0.3] and right.tolist() == [True, False]


def test_refusals(judge, errors):
    with pytest.raises(BinposeError, match=r"A pose of object 'cog' .* but only bracket, bar is known"):
        judge([], [estimate(0, 1, "cog")])
    with pytest.raises(BinposeError, match="region or unknown pixels but no camera"):
        FrameTruth([], region=Region([]))
    with pytest.raises(BinposeError, match="error must be one of add_s, add, adi, mssd, got 'iou'"):
        EvaluationConfig(error="iou")
    with pytest.raises(BinposeError, match="max_error must be > 0"):
        EvaluationConfig(max_error=0)
    with pytest.raises(BinposeError, match=r"min_visible_fraction must lie in \[0, 1\], got 2"):
        EvaluationConfig(min_visible_fraction=2)


def test_the_known_parts_of_a_real_scan(shared_data):
    (frame,) = BopDataset(shared_data / "wrs_bins").frames("real")
    parts = ground_truths(frame)
    assert [part.object_id for part in parts].count("pulley") == 8 and [part.ignored for part in parts].count(True) == 2
    assert not any(part.ignored for part in ground_truths(frame, doubtful=()))
