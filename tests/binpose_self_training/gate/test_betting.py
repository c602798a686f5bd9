"""The bounds hold at all times, are those of the reference, and find small improvements."""

from collections.abc import Callable

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_self_training.gate.betting import BettingConfig, ConfidenceSequence, MeanBounds, reference_bounds

COARSE = BettingConfig(steps=20)


def signs(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], count)


def rare_losses(rng: np.random.Generator, count: int) -> np.ndarray:
    """Mostly small gains, with a mean of 0."""
    return np.where(rng.random(count) < 0.05, -0.95, 0.05)


def mostly_equal(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.where(rng.random(count) < 0.2, rng.normal(0.0, 0.2, count).clip(-1, 1), 0.0)


def dependent(rng: np.random.Generator, count: int) -> np.ndarray:
    """The spread depends on the past, the mean does not."""
    steps = rng.choice([-1.0, 1.0], count)
    return steps * np.where(np.cumsum(steps) - steps > 0, 0.9, 0.1)


@pytest.mark.parametrize("seed", range(4))
def test_the_fast_bounds_are_those_of_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal([0.0, 0.3, -0.6, 0.05][seed], 0.3, 60).clip(-1, 1)
    fast = ConfidenceSequence(COARSE)
    found = [fast.add(value) for value in values]
    expected = reference_bounds(values, COARSE)
    np.testing.assert_allclose([b.lower for b in found], [b.lower for b in expected], atol=1e-9)
    np.testing.assert_allclose([b.upper for b in found], [b.upper for b in expected], atol=1e-9)


@pytest.mark.parametrize(
    ("stream", "alpha"), [(signs, 0.05), (rare_losses, 0.05), (mostly_equal, 0.05), (dependent, 0.05), (signs, 0.2)]
)
def test_a_useless_candidate_passes_at_most_as_often_as_stated(
    stream: Callable[[np.random.Generator, int], np.ndarray], alpha: float
) -> None:
    rng, streams = np.random.default_rng(0), 2000
    config = BettingConfig(alpha=alpha, steps=2)  # the mean of 0 alone
    passed = 0
    for _ in range(streams):
        sequence = ConfidenceSequence(config)
        passed += any(sequence.add(value).is_positive for value in stream(rng, 60))
    assert passed / streams <= alpha + 2.0 * np.sqrt(alpha * (1 - alpha) / streams)


@pytest.mark.parametrize("mean", [-0.5, 0.0, 0.2])
def test_the_mean_lies_within_the_bounds_at_all_times(mean: float) -> None:
    rng, missed = np.random.default_rng(1), 0
    for _ in range(300):
        sequence = ConfidenceSequence(BettingConfig(steps=40))
        bounds = sequence.extend(rng.choice([-1.0, 1.0], 100, p=[(1 - mean) / 2, (1 + mean) / 2]))
        missed += not bounds.lower <= mean <= bounds.upper  # bounds never widen: the last ones are the narrowest
    assert missed / 300 <= 0.1


@pytest.mark.parametrize(("mean", "spread", "frames"), [(0.2, 0.4, 80), (0.1, 0.2, 100), (0.3, 0.6, 70)])
def test_an_improvement_is_found(mean: float, spread: float, frames: int) -> None:
    rng, found = np.random.default_rng(2), 0
    for _ in range(200):
        sequence = ConfidenceSequence(BettingConfig(steps=2))
        found += sequence.extend(rng.normal(mean, spread, frames).clip(-1, 1)).is_positive
    assert found / 200 >= 0.8


def test_bounds_never_widen_and_never_cross() -> None:
    sequence, before = ConfidenceSequence(COARSE), MeanBounds()
    for value in np.random.default_rng(3).normal(0.2, 0.3, 200).clip(-1, 1):
        bounds = sequence.add(value)
        assert before.lower <= bounds.lower <= bounds.upper <= before.upper
        before = bounds


def test_a_change_of_sign_exchanges_the_bounds() -> None:
    values = np.random.default_rng(4).normal(0.2, 0.3, 50).clip(-1, 1)
    one, other = ConfidenceSequence(COARSE).extend(values), ConfidenceSequence(COARSE).extend(-values)
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower))


@pytest.mark.parametrize("value", [1.01, -2.0, float("nan")])
def test_values_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(BinposeError, match=r"expected one in \[-1, 1\]"):
        ConfidenceSequence().add(value)


def test_nonsense_settings_are_refused() -> None:
    for wrong in ({"alpha": 0.0}, {"alpha": 0.9}, {"largest_stake": 1.0}, {"steps": 3}):
        with pytest.raises(BinposeError):
            BettingConfig(**wrong)
