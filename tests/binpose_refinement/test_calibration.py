import numpy as np
import pytest

from binpose_core.errors import BinposeError
from binpose_refinement.calibration import Calibration, fit_calibration, reliability
from binpose_refinement.verification import FEATURES

ONE = np.zeros(1500, np.int64)


def samples(n=1500, seed=0):
    """Two features decide, by a known probability; the others are noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(FEATURES)))
    probability = 1 / (1 + np.exp(-(2 * x[:, 0] - 1.5 * x[:, 3] + 0.5)))
    return x, rng.random(n) < probability, probability


def test_probabilities_are_recovered_and_reliable():
    x, y, _ = samples()
    calibration = fit_calibration(x, y)
    x, y, probability = samples(seed=1)
    score = calibration(x, ONE)
    assert np.abs(score - probability).mean() < 0.09
    assert reliability(score, y).expected_calibration_error < 0.08


def test_what_evidence_means_differs_from_part_to_part():
    """The same feature speaks for one part and against the other."""
    rng = np.random.default_rng(0)
    x, part = rng.normal(size=(3000, len(FEATURES))), rng.integers(0, 2, 3000)
    y = rng.random(3000) < 1 / (1 + np.exp(-3 * x[:, 0] * np.where(part == 0, 1, -1) - part))
    calibration = fit_calibration(x[:2000], y[:2000], part[:2000], parts=2)
    assert calibration.parts == 2
    score = calibration(x[2000:], part[2000:])
    assert ((score > 0.5) == y[2000:]).mean() > 0.75
    assert reliability(score, y[2000:]).expected_calibration_error < 0.08


def test_fitting_twice_gives_the_same():
    x, y, _ = samples(500)
    assert np.array_equal(fit_calibration(x, y)(x, ONE[:500]), fit_calibration(x, y)(x, ONE[:500]))


def test_tensors_bring_the_same_calibration_back():
    x, y, _ = samples(500)
    calibration = fit_calibration(x, y)
    again = Calibration.from_tensors({**calibration.to_tensors(), "segmenter.weight": np.zeros(3)})
    assert np.allclose(again(x, ONE[:500]), calibration(x, ONE[:500]), atol=1e-4)
    assert Calibration.from_tensors({"segmenter.weight": np.zeros(3)}) is None


def test_scores_stay_probabilities_far_outside_of_what_was_seen():
    x, y, _ = samples(500)
    score = fit_calibration(x, y)(1e9 * x, ONE[:500])
    assert ((score >= 0) & (score <= 1)).all()


def test_what_cannot_be_fitted_or_read_is_refused():
    x, y, _ = samples(500)
    with pytest.raises(BinposeError, match="both kinds"):
        fit_calibration(x, np.ones(len(x), bool))
    with pytest.raises(BinposeError, match="expected at least 50"):
        fit_calibration(x[:10], y[:10])
    with pytest.raises(BinposeError, match=r"expected \(N,"):
        fit_calibration(x[:, :4], y)
    with pytest.raises(BinposeError, match="NaN"):
        fit_calibration(np.where(x > 2, np.nan, x), y)
    tensors = fit_calibration(x, y).to_tensors()
    with pytest.raises(BinposeError, match="lacks"):
        Calibration.from_tensors({key: value for key, value in tensors.items() if not key.endswith("out")})
    with pytest.raises(BinposeError, match="another version"):
        Calibration.from_tensors({key: value[:5] if value.ndim else value for key, value in tensors.items()})


def test_reliability_by_hand():
    table = reliability(np.array([0.05, 0.15, 0.95, 1.0]), np.array([False, True, True, True]))
    assert table.count.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert table.share_correct[[0, 1, 9]].tolist() == [0.0, 1.0, 1.0]
    assert table.expected_calibration_error == pytest.approx((0.05 + 0.85 + 2 * 0.025) / 4)
