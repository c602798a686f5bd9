"""Statistics of paired counts: how much a fraction changed, and whether one of two counts is larger."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binom


def loss_bounds(gained: int, lost: int, count: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the change of a fraction in paired trials, each exceeded with probability alpha.

    The score interval of Tango, Statistics in Medicine 17, 1998, which keeps its level for few trials and also where
    no pair differs.

    Args:
        gained: trials that succeed only in the second case.
        lost: trials that succeed only in the first case.
        count: all trials.
        alpha: one-sided error rate of each bound.
    """
    if not count:
        return -1.0, 1.0
    z = float(ndtri(1.0 - alpha))

    def excess(sign: float) -> Callable[[float], float]:
        return lambda change: _score(gained, lost, count, change) - sign * z

    middle, edge = (gained - lost) / count, 1.0 - 1e-9
    lower = -1.0 if excess(1.0)(-edge) < 0 else brentq(excess(1.0), -edge, middle)
    upper = 1.0 if excess(-1.0)(edge) > 0 else brentq(excess(-1.0), middle, edge)
    return float(lower), float(upper)


def more_often(one: int, other: int, alpha: float) -> bool:
    """Whether events that are counted `one` and `other` times are more frequent in the first case (sign test)."""
    return one > other and float(binom.sf(one - 1, one + other, 0.5)) < alpha


def _score(gained: int, lost: int, count: int, change: float) -> float:
    """Tango's score statistic for a given change, standard normal where that is the true one; it falls with it."""
    a = 2.0 * count
    b = -(lost + gained) + (2.0 * count - gained + lost) * change
    c = -lost * change * (1.0 - change)
    q = (np.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)  # most likely probability of a loss
    variance = count * (2.0 * q + change * (1.0 - change))
    distance = gained - lost - count * change
    return float(distance / np.sqrt(variance)) if variance > 1e-12 else float(np.sign(distance) * 1e9)
