"""Bounds of paired fractions keep their error rate, also for few trials."""

import numpy as np
import pytest

from binpose_self_training.gate.paired_counts import loss_bounds, more_often


@pytest.mark.parametrize("count", [10, 50, 200])
def test_where_no_pair_differs_the_bounds_are_those_of_the_source(count: int) -> None:
    """Tango's interval is then z² / (n + z²), and not empty as that of the normal distribution."""
    z = 1.959964
    lower, upper = loss_bounds(0, 0, count, 0.025)
    assert (-lower, upper) == pytest.approx((z**2 / (count + z**2),) * 2, abs=1e-6)


@pytest.mark.parametrize(("gained", "lost", "count"), [(3, 1, 40), (0, 5, 12), (7, 0, 9), (2, 2, 100)])
def test_exchanged_models_have_mirrored_bounds(gained: int, lost: int, count: int) -> None:
    one, other = loss_bounds(gained, lost, count, 0.1), loss_bounds(lost, gained, count, 0.1)
    assert one == pytest.approx((-other[1], -other[0]), abs=1e-9)
    assert one[0] <= (gained - lost) / count <= one[1]


@pytest.mark.parametrize(("p_gain", "p_loss"), [(0.1, 0.1), (0.02, 0.1), (0.0, 0.05), (0.3, 0.1)])
@pytest.mark.parametrize("count", [20, 60])
def test_the_true_change_is_above_the_lower_bound_as_often_as_stated(p_gain: float, p_loss: float, count: int) -> None:
    rng, below = np.random.default_rng(0), 0
    for gained, lost, _ in rng.multinomial(count, [p_gain, p_loss, 1 - p_gain - p_loss], 1000):
        below += loss_bounds(int(gained), int(lost), count, 0.1)[0] > p_gain - p_loss
    assert below / 1000 <= 0.1 + 0.03


def test_more_trials_narrow_the_bounds() -> None:
    widths = [np.diff(loss_bounds(0, 0, count, 0.1))[0] for count in (5, 20, 80, 320)]
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.02


def test_without_trials_nothing_is_known() -> None:
    assert loss_bounds(0, 0, 0, 0.1) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(0, 0, False), (5, 5, False), (4, 0, True), (3, 2, False), (30, 10, True)]
)
def test_a_larger_count_is_significant_only_with_enough_events(one: int, other: int, expected: bool) -> None:
    assert more_often(one, other, 0.1) is expected
