"""Counts, curves and tables by hand."""

import numpy as np
import pytest

from binpose_core.evaluation.matching import EvaluationConfig, FrameEvaluation, MatchedEstimate, MatchedPart, Verdict
from binpose_core.evaluation.scores import precision_recall, summarise

CONFIG = EvaluationConfig()
INF = float("inf")


def judged(score, right=True, object_id="a", **kinds):
    verdict = right if isinstance(right, Verdict) else Verdict.RIGHT if right else Verdict.WRONG
    return MatchedEstimate(object_id, score, verdict, -1, INF, **kinds)


def test_the_curve_by_hand():
    # Four parts; right at 0.9, 0.7, 0.6, wrong at 0.8: precision 1, 1/2, 2/3, 3/4 at recall 1/4, 1/4, 2/4, 3/4.
    estimates = [judged(0.7), judged(0.9), judged(0.8, False), judged(0.6)]
    curve = precision_recall(estimates, 4)
    assert curve.scores.tolist() == [0.9, 0.8, 0.7, 0.6]
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 3 / 4])
    np.testing.assert_allclose(curve.recall, [1 / 4, 1 / 4, 2 / 4, 3 / 4])
    # The best precision at that recall or more: 1 for the first quarter, 3/4 for the next two, 0 beyond.
    assert curve.average_precision == pytest.approx(1 / 4 + 2 / 4 * 3 / 4)


def test_equal_scores_are_one_point_whatever_their_order():
    estimates = [judged(0.5), judged(0.5, False)]
    for order in (estimates, estimates[::-1]):
        curve = precision_recall(order, 1)
        assert (curve.precision.tolist(), curve.recall.tolist()) == ([0.5], [1.0])
        assert curve.average_precision == 0.5


def test_the_area_lies_between_0_and_1_and_is_1_for_a_perfect_ranking(rng):
    assert precision_recall([judged(0.9), judged(0.8), judged(0.1, False)], 2).average_precision == 1
    assert precision_recall([], 2).average_precision == 0
    assert np.isnan(precision_recall([judged(0.5, False)], 0).average_precision)
    for _ in range(20):
        estimates = [judged(score, bool(score * 7 % 1 > 0.4)) for score in rng.random(30)]
        assert 0 <= precision_recall(estimates, 30).average_precision <= 1


def test_the_score_threshold_splits_what_counts():
    estimates = (judged(0.9), judged(0.5), judged(0.4), judged(0.6, False, duplicate=True), judged(0.3, False))
    parts = (
        MatchedPart("a", 0.9, 0.01),
        MatchedPart("a", 0.5, 0.05),
        MatchedPart("a", 0.4, 0.02),
        MatchedPart("a", -INF, INF),
    )
    score = summarise([FrameEvaluation("f", estimates, parts)], CONFIG).overall
    assert (score.n_parts, score.n_found, score.n_right, score.n_wrong, score.n_duplicates) == (4, 2, 2, 1, 1)
    assert score.recall == 0.5 and score.precision == pytest.approx(2 / 3)
    assert score.median_error == pytest.approx(0.03)
    assert score.auc == pytest.approx((0.9 + 0.5) / 4), "1 - error / 0.1 of the two that were found"
    assert score.curve.recall[-1] == 0.75, "the curve goes on below the threshold"


def test_ignored_and_unknown_estimates_are_no_mistakes():
    estimates = (judged(0.9), judged(0.9, Verdict.IGNORED), judged(0.8, Verdict.UNKNOWN))
    score = summarise([FrameEvaluation("f", estimates, (MatchedPart("a", 0.9, 0.0),))], CONFIG).overall
    assert (score.precision, score.n_unknown, score.curve.average_precision) == (1, 1, 1)


def test_precision_is_not_available_where_one_frame_is_not_fully_annotated():
    whole = FrameEvaluation("1", (judged(0.9), judged(0.9, object_id="b")), ())
    partly = FrameEvaluation("2", (judged(0.9),), (), complete={"b"})
    a, b = summarise([whole, partly], CONFIG).objects
    assert (a.object_id, a.precision, a.curve) == ("a", None, None)
    assert (b.object_id, b.precision) == ("b", 1)
    summary = summarise([whole, partly], CONFIG)
    assert summary.overall.precision is None
    assert "| a | 0 | 0 | nan | not available | not available |" in summary.table()


def test_the_whole_is_the_sum_of_the_objects():
    estimates = (judged(0.9), judged(0.8, False, "b"), judged(0.7, object_id="b", outside=True))
    parts = (MatchedPart("a", 0.9, 0.01), MatchedPart("b", 0.7, 0.02), MatchedPart("b", -INF, INF))
    summary = summarise([FrameEvaluation("f", estimates, parts)] * 2, CONFIG)
    for key in ("n_parts", "n_found", "n_right", "n_wrong", "n_outside"):
        assert getattr(summary.overall, key) == sum(getattr(score, key) for score in summary.objects) > 0
    table = summary.table().splitlines()
    assert len(table) == 5 and all(line.count("|") == 11 for line in table)
    assert table[-1].startswith("| all | 6 | 4 | 0.667 | 0.667 |")


def test_nothing_at_all():
    score = summarise([], CONFIG).overall
    assert score.n_parts == 0 and np.isnan(score.recall) and np.isnan(score.precision)
