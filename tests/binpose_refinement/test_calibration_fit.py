"""The fit of a calibration: parts for which evidence means different things, and parts with few or no samples."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_refinement.calibration import EVIDENCE, HEADROOM, PRIOR
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.scene_choice import SCENE_EVIDENCE
from binpose_refinement.verification import FEATURES

SLOPE, LEVEL = {0: 8.0, 1: 0.0}, {0: 0.0, 1: -1.5}
"""Log-odds of `explained` for two parts: for one it decides, for the other it means nothing."""
EXPLAINED = FEATURES.index("explained")


def probability_of(x, part):
    slope, level = (np.vectorize(table.get)(part) for table in (SLOPE, LEVEL))
    return 1 / (1 + np.exp(-(level + slope * (x[:, EXPLAINED] - 0.5))))


def samples(n, seed=0, parts=(0, 1)):
    rng = np.random.default_rng(seed)
    x, part = np.full((n, len(FEATURES)), 0.5), rng.choice(parts, n)
    x[:, EXPLAINED] = rng.random(n)
    return x, rng.random(n) < probability_of(x, part), part


def log_loss(calibration, x, right, part):
    probability = calibration(x, part)
    return -np.log(np.where(right, probability, 1 - probability)).mean()


@pytest.fixture(scope="module")
def fitted():
    """Of three parts; the third has no samples."""
    x, right, part = samples(3000)
    return fit_calibration(x, right, part=part, parts=3)


def test_each_part_has_the_probability_that_its_own_evidence_means(fitted):
    x, right, part = samples(4000, seed=1)
    free = replace(fitted, headroom=np.array(100.0))
    assert np.abs(free(x, part) - probability_of(x, part)).mean() < 0.06
    shared = fit_calibration(*samples(3000)[:2])
    assert log_loss(fitted, x, right, part) < log_loss(shared, x, right, part) - 0.03


def test_a_part_without_samples_has_the_functions_of_all_parts(fitted):
    x, right, part = samples(3000)
    shared = fit_calibration(x, right)
    assert fitted.parts == 3 and shared.parts == 0
    np.testing.assert_allclose(fitted(x, 2), shared(x, part))


def test_few_samples_move_a_part_little_and_many_move_it_far():
    x, right, part = samples(2000)
    ends = np.full((2, len(FEATURES)), 0.5)
    ends[:, EXPLAINED] = 0.1, 0.9
    rises = []
    for count in (3, 30, 300):
        keep = (part == 0) | (np.cumsum(part == 1) <= count)  # of the second part, so many
        calibration = fit_calibration(x[keep], right[keep], part=part[keep], parts=2)
        low, high = calibration(ends, 1)
        rises.append(high - low)
    assert rises[0] > rises[1] > rises[2] and rises[2] < 0.25


@pytest.mark.parametrize("right", [True, False])
def test_a_part_with_samples_of_one_kind_keeps_finite_functions(right):
    x, known, part = samples(1000)
    known[part == 1] = right
    calibration = fit_calibration(x, known, part=part, parts=2)
    score = calibration(x, 1)
    assert np.isfinite(calibration.bias).all() and ((score > 0) & (score < 1)).all()
    assert (score.mean() > 0.5) == right


def test_a_part_whose_poses_are_nearly_all_right_is_no_excuse_for_bad_evidence(fitted):
    """Its functions may lower a score at will, but hardly raise it above that of all parts."""
    x, right, part = samples(3000)
    right[part == 1] = True
    calibration = fit_calibration(x, right, part=part, parts=2)
    odds = [np.log(score / (1 - score)) for score in (calibration(x, 1), fit_calibration(x, right)(x, 0))]
    assert (odds[0] - odds[1]).max() == pytest.approx(HEADROOM, abs=1e-6)
    scaled = calibration.scaled(calibration(x, part), np.zeros((len(x), len(SCENE_EVIDENCE))), right)
    assert scaled.headroom / HEADROOM == pytest.approx(scaled.slopes.max() / calibration.slopes.max())


def test_better_evidence_never_lowers_the_score_of_any_part():
    """Also where the samples of a part say the opposite."""
    rng = np.random.default_rng(2)
    x, part = rng.random((2000, len(FEATURES))), rng.integers(0, 3, 2000)
    right = rng.random(2000) < np.where(part == 1, 1 - x[:, EXPLAINED], x[:, EXPLAINED])
    calibration = fit_calibration(x, right, part=part, parts=3)
    for name in EVIDENCE:
        better = x.copy()
        better[:, FEATURES.index(name)] += np.sign(PRIOR[name]) * rng.exponential(0.3, len(x))
        assert (calibration(better, part) >= calibration(x, part) - 1e-12).all()
