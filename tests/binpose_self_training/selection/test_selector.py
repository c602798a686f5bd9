from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_self_training.selection.evidence import LabelEvidence
from binpose_self_training.selection.selector import Rejection, SelectionConfig, rejection, select
from binpose_self_training.selection.thresholds import FEWEST_OF_A_PART, Threshold, Thresholds, adapted_thresholds

GOOD = LabelEvidence("gear", 0.9, 0.1, 0.5, 0.05, depth_agreement=0.98, returned=1.0, other_views=1.0)
PAPER = SelectionConfig(appearance=True, geometry=True, score=0.5)
LIMITS = Thresholds({}, Threshold(0.1, 0.1))


def test_thresholds_are_mean_plus_deviation_of_each_part(rng):
    gears = [replace(GOOD, d_mask=value, d_image=1.0, d_g=value / 2) for value in rng.uniform(0, 1, 40)]
    bolts = [replace(gear, object_id="bolt", d_g=3 * gear.d_g) for gear in gears]
    limits = adapted_thresholds([*gears, *bolts])
    for name, own in (("gear", gears), ("bolt", bolts)):
        d_g = np.array([entry.d_g for entry in own])
        assert limits.of(name).d_g == pytest.approx(d_g.mean() + d_g.std())
    assert limits.of("bolt").d_g == pytest.approx(3 * limits.of("gear").d_g)


def test_a_part_with_few_poses_has_the_thresholds_of_all():
    few = [replace(GOOD, object_id="bolt")] * (FEWEST_OF_A_PART - 1)
    limits = adapted_thresholds([*few, *[replace(GOOD, d_g=0.2)] * 30])
    assert limits.of("bolt") == limits.common != limits.of("gear")


def test_an_infinite_distance_moves_no_threshold_and_is_never_accepted():
    entries = [*[GOOD] * 20, replace(GOOD, d_g=float("inf"))]
    selection = select([entries], PAPER)
    assert np.isfinite(selection.thresholds.of("gear").d_g)
    assert selection.accepted(0) == [True] * 20 + [False]


@pytest.mark.parametrize(
    ("change", "reason", "switch"),
    [
        ({"score": 0.4}, Rejection.SCORE, None),
        ({"d_mask": 0.3}, Rejection.APPEARANCE, "appearance"),
        ({"d_g": 0.2}, Rejection.GEOMETRY, "geometry"),
        ({"depth_agreement": 0.7}, Rejection.DEPTH, "certificate"),
        ({"depth_agreement": float("nan")}, Rejection.DEPTH, "certificate"),
        ({"returned": 0.0}, Rejection.NOT_RETURNED, "certificate"),
        ({"other_views": 0.0}, Rejection.OTHER_VIEWS, "certificate"),
        ({"held": 0.0}, Rejection.FAILED_PICK, None),
    ],
)
def test_each_criterion_rejects_with_its_reason_and_can_be_switched_off(change, reason, switch):
    config = PAPER
    assert rejection(GOOD, LIMITS, config) is Rejection.NONE
    assert rejection(replace(GOOD, **change), LIMITS, config) is reason
    if switch:
        assert rejection(replace(GOOD, **change), LIMITS, replace(config, **{switch: False})) is Rejection.NONE


def test_a_part_that_was_held_needs_no_other_proof():
    doubtful = replace(GOOD, score=0.1, d_mask=0.9, d_g=1.0, depth_agreement=0.1, held=1.0)
    assert rejection(doubtful, LIMITS, PAPER) is Rejection.NONE


def test_what_nobody_measured_rejects_nothing():
    unmeasured = replace(GOOD, returned=float("nan"), other_views=float("nan"))
    assert rejection(unmeasured, LIMITS, PAPER) is Rejection.NONE


def test_stricter_settings_accept_a_subset(rng):
    entries = [
        LabelEvidence("gear", *rng.uniform(0, 1, 4), depth_agreement=rng.uniform(0.5, 1), returned=rng.integers(2))
        for _ in range(200)
    ]
    loose = select([entries], replace(PAPER, score=0.2, deviations=1.5)).accepted(0)
    strict = select([entries], replace(PAPER, score=0.4, deviations=0.5)).accepted(0)
    assert 0 < sum(strict) < sum(loose)
    assert all(a for a, b in zip(loose, strict, strict=True) if b)


def test_settings_out_of_range_are_refused():
    with pytest.raises(BinposeError, match=r"SelectionConfig.score is 1.5; expected 0 to 1"):
        SelectionConfig(score=1.5)
