"""The score: a probability that better evidence never lowers, and that is cautious outside of what was seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpose_core.base.errors import BinposeError
from binpose_refinement.calibration import EVIDENCE, PRIOR, Calibration
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.reliability import reliability
from binpose_refinement.scene_choice import SCENE_EVIDENCE
from binpose_refinement.verification import FEATURES

COLUMN = {name: FEATURES.index(name) for name in FEATURES}
DECISIVE = "explained", "violation"
ANY = 0
"""A part, where one row serves all."""


def probability_of(x):
    """A known probability that two pieces of evidence decide."""
    good, bad = (x[:, COLUMN[name]] for name in DECISIVE)
    return 1 / (1 + np.exp(-(8 * (good - 0.5) - 6 * (bad - 0.5) + 0.5)))


def samples(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, len(FEATURES)))
    return x, rng.random(n) < probability_of(x)


@pytest.fixture(scope="module")
def calibration():
    return fit_calibration(*samples(3000))


@pytest.fixture(scope="module")
def misled():
    """Fitted on samples in which good evidence means wrong poses."""
    x, y = samples(2000)
    return fit_calibration(x, ~y)


def test_probabilities_are_recovered_and_reliable(calibration):
    x, y = samples(seed=1)
    score = calibration(x, ANY)
    assert np.abs(score - probability_of(x)).mean() < 0.06
    assert reliability(score, y).expected_calibration_error < 0.05


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(EVIDENCE),
    start=st.lists(st.floats(-3, 4), min_size=len(FEATURES), max_size=len(FEATURES)),
    step=st.floats(0, 100),
)
def test_better_evidence_never_lowers_a_score(calibration, misled, name, start, step):
    before = np.array([start])
    after = before.copy()
    after[0, COLUMN[name]] += np.sign(PRIOR[name]) * step
    for fitted in (calibration, misled):
        assert fitted(after, ANY)[0] >= fitted(before, ANY)[0] - 1e-12
        assert fitted.out_of_distribution(after)[0] <= fitted.out_of_distribution(before)[0]


def test_only_geometry_decides(calibration):
    """The networks' own certainty and the image's edges mean little on a camera that no training has seen."""
    x, _ = samples(100)
    changed = x.copy()
    for name in ("confidence", "detection", "contour_edge", "weakest_edge"):
        changed[:, COLUMN[name]] = 1 - changed[:, COLUMN[name]]
    assert np.array_equal(calibration(x, ANY), calibration(changed, ANY))


def test_small_changes_of_the_evidence_change_a_score_little(calibration):
    x, _ = samples(2000)
    assert np.abs(calibration(x + 1e-6, ANY) - calibration(x, ANY)).max() < 1e-4


def test_evidence_worse_than_that_of_all_right_samples_is_out_of_distribution_and_lowers_the_score():
    rng = np.random.default_rng(0)
    x = rng.random((3000, len(FEATURES)))
    x[:, COLUMN["violation"]] *= 0.2
    y = rng.random(3000) < probability_of(x)
    calibration = fit_calibration(x, y)
    seen = x[y][:50]
    unseen = seen.copy()
    unseen[:, COLUMN["violation"]] = 0.6
    assert calibration.out_of_distribution(seen).mean() < 0.1
    assert calibration.out_of_distribution(unseen).all()
    assert (calibration(unseen, ANY) < 0.1).all()


def test_scaling_makes_selected_scores_probabilities_and_keeps_their_order(calibration):
    """Selected poses are surer than their scores say; a straight line of the log-odds mends that."""
    rng = np.random.default_rng(0)
    x, _ = samples(3000, seed=2)
    score = calibration(x, ANY)
    probability = 1 / (1 + np.exp(-(2.0 * np.log(score / (1 - score)) + 0.7)))
    correct = rng.random(len(x)) < probability
    none = np.zeros((len(score), len(SCENE_EVIDENCE)))
    scaled = calibration.scaled(score, none, correct)
    assert reliability(score, correct).expected_calibration_error > 0.06
    assert reliability(scaled(x, ANY), correct).expected_calibration_error < 0.03
    assert (np.diff(scaled(x, ANY)[np.argsort(score)]) >= -1e-12).all()
    assert calibration.scaled(score[:10], none[:10], correct[:10]) is calibration
    assert calibration.scaled(score, none, np.ones(len(score), bool)) is calibration


def test_scene_evidence_lowers_scores_as_far_as_it_predicts_errors_and_never_raises_them(calibration):
    rng = np.random.default_rng(4)
    score = rng.uniform(0.05, 0.95, 4000)
    scene = np.column_stack([rng.exponential(1.0, 4000), rng.random(4000) < 0.3, rng.random(4000)])
    truth = 1 / (1 + np.exp(-(np.log(score / (1 - score)) - 1.5 * scene[:, 0] + 0.8 * scene[:, 1])))
    correct = rng.random(4000) < truth
    scaled = calibration.scaled(score, scene, correct)
    assert scaled.scene[0] == pytest.approx(-1.5, abs=0.2)
    assert (scaled.scene <= 0).all() and scaled.scene[1] == 0.0  # what seems to help is not believed
    more = scene + rng.exponential(0.5, scene.shape)
    assert (scaled.of_scene(score, more) <= scaled.of_scene(score, scene) + 1e-12).all()
    assert scaled.of_scene(np.zeros(1), np.zeros((1, 3)))[0] == 0.0
    again = scaled.scaled(scaled.of_scene(score, scene), scene, correct)  # nothing is left to be scaled
    np.testing.assert_allclose(again.scene, scaled.scene, atol=0.1)
    np.testing.assert_allclose(again.slopes, scaled.slopes, rtol=0.1, atol=1e-6)


def test_a_calibration_of_an_earlier_version_ignores_the_scene(calibration):
    tensors = calibration.to_tensors()
    del tensors["calibration.scene"]
    old, score = Calibration.from_tensors(tensors), np.array([0.2, 0.8])
    np.testing.assert_allclose(old.of_scene(score, np.ones((2, 3))), score)


def test_fitting_twice_gives_the_same():
    x, y = samples(500)
    assert np.array_equal(fit_calibration(x, y)(x, ANY), fit_calibration(x, y)(x, ANY))


def test_samples_of_weight_zero_do_not_count():
    x, y = samples(1000)
    weight = np.repeat([1.0, 0.0], 500)
    spoiled = np.where(weight > 0, y, ~y)
    assert np.allclose(fit_calibration(x, y, weight).bias, fit_calibration(x, spoiled, weight).bias, atol=0.3)


def test_tensors_bring_the_same_calibration_back(calibration):
    x, _ = samples(500)
    again = Calibration.from_tensors({**calibration.to_tensors(), "segmenter.weight": np.zeros(3)})
    assert np.allclose(again(x, ANY), calibration(x, ANY), atol=1e-3)
    assert Calibration.from_tensors({"segmenter.weight": np.zeros(3)}) is None


def test_the_unconstrained_calibrations_of_earlier_versions_are_left_out():
    assert (
        Calibration.from_tensors({"calibration.hidden": np.zeros((4, 33, 16)), "calibration.bias": np.zeros(4)}) is None
    )


def test_scores_stay_probabilities_far_outside_of_what_was_seen(calibration):
    x, _ = samples(500)
    for scale in (1e9, -1e9):
        score = calibration(scale * x, ANY)
        assert ((score >= 0) & (score <= 1)).all()


def test_what_cannot_be_fitted_or_read_is_refused(calibration):
    x, y = samples(500)
    with pytest.raises(BinposeError, match="both kinds"):
        fit_calibration(x, np.ones(len(x), bool))
    with pytest.raises(BinposeError, match="expected at least 50"):
        fit_calibration(x[:10], y[:10])
    with pytest.raises(BinposeError, match=r"expected \(N,"):
        fit_calibration(x[:, :4], y)
    with pytest.raises(BinposeError, match="NaN"):
        fit_calibration(np.where(x > 0.9, np.nan, x), y)
    tensors = calibration.to_tensors()
    with pytest.raises(BinposeError, match="lacks"):
        Calibration.from_tensors({key: value for key, value in tensors.items() if not key.endswith("slopes")})
    with pytest.raises(BinposeError, match="expected 21 rows"):
        Calibration.from_tensors({**tensors, "calibration.knots": tensors["calibration.knots"][:5]})
    with pytest.raises(BinposeError, match="negative slope"):
        Calibration.from_tensors({**tensors, "calibration.slopes": -tensors["calibration.slopes"] - 1})


def test_reliability_by_hand():
    table = reliability(np.array([0.05, 0.15, 0.95, 1.0]), np.array([False, True, True, True]))
    assert table.count.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert table.share_correct[[0, 1, 9]].tolist() == [0.0, 1.0, 1.0]
    assert table.expected_calibration_error == pytest.approx((0.05 + 0.85 + 2 * 0.025) / 4)
