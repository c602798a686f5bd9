"""Bounds on the mean of bounded values that hold at every time, however often they are looked at.

A bettor stakes a part of its capital on each value before it is seen. Against the true mean no strategy gains capital
on average, so the capital exceeds 1 / alpha with a probability of at most alpha, at any time (Ville 1939). A mean at
which the capital reaches 1 / alpha is rejected. The stakes are the predictable plug-in of Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", JRSS B 2024, section 4.3.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting


@dataclass(frozen=True)
class BettingConfig:
    """A confidence sequence for values in [-1, 1].

    alpha: probability that the lower bound ever exceeds the mean, and that the upper bound ever falls below it, each.
    largest_stake: largest part of the capital that can be lost with one value.
    steps: number of intervals between the means that are tested; an even number, so that 0 is one of the means.
    """

    alpha: float = setting(0.05, bounds=(1e-9, 0.5))
    largest_stake: float = setting(0.75, bounds=(0.01, 0.99))
    steps: int = setting(1000, bounds=(2, 100_000))

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.steps % 2:
            raise BinposeError(f"BettingConfig.steps is {self.steps}; expected an even number, so that 0 is tested.")


@dataclass(frozen=True)
class MeanBounds:
    """The mean of the values lies above `lower` and below `upper`, each except with probability alpha over all time."""

    lower: float = -1.0
    upper: float = 1.0

    @property
    def is_positive(self) -> bool:
        """Whether a mean of 0 or less is rejected."""
        return self.lower >= 0.0

    @property
    def is_negative(self) -> bool:
        """Whether a mean of 0 or more is rejected."""
        return self.upper <= 0.0


class ConfidenceSequence:
    """Bounds on the mean of a sequence of values in [-1, 1], narrowed with each value.

    The values need not be independent: it suffices that, given the past, the mean of each is the one bounded.
    """

    def __init__(self, config: BettingConfig | None = None) -> None:
        self.config = c = config or BettingConfig()
        self._means = np.linspace(0.0, 1.0, c.steps + 1)[1:-1]  # values are mapped to [0, 1] as in the source
        self._log_up = np.zeros(c.steps - 1)  # capital of the bets on a larger mean, and on a smaller one
        self._log_down = np.zeros(c.steps - 1)
        self._count, self._sum, self._squares = 0, 0.5, 0.25  # of the plug-in estimates, with their prior values
        self.bounds = MeanBounds()

    def add(self, value: float) -> MeanBounds:
        """The bounds after one more value.

        Raises:
            BinposeError: for a value outside of [-1, 1].
        """
        if not -1.0 <= value <= 1.0:
            raise BinposeError(f"A value of {value} for a bounded mean; expected one in [-1, 1]; scale or clip it.")
        x, c = 0.5 * (value + 1.0), self.config
        stake = self._stake()
        self._log_up += np.log1p(np.minimum(stake, c.largest_stake / self._means) * (x - self._means))
        self._log_down += np.log1p(np.minimum(stake, c.largest_stake / (1.0 - self._means)) * (self._means - x))
        self._count += 1
        self._sum += x
        self._squares += (x - self._sum / (self._count + 1)) ** 2
        self.bounds = self._narrowed()
        return self.bounds

    def extend(self, values: Iterable[float]) -> MeanBounds:
        """The bounds after more values."""
        for value in values:
            self.add(value)
        return self.bounds

    def _stake(self) -> float:
        """From the values before the current one: large for a small variance, smaller as time goes on."""
        step, variance = self._count + 1, self._squares / (self._count + 1)
        return math.sqrt(2.0 * math.log(1.0 / self.config.alpha) / (variance * step * math.log1p(step)))

    def _narrowed(self) -> MeanBounds:
        """The capital of a bet on a larger mean falls with the tested mean, the other's rises."""
        limit = math.log(1.0 / self.config.alpha)
        rejected_low = int(np.count_nonzero(self._log_up >= limit))
        rejected_high = int(np.count_nonzero(self._log_down >= limit))
        lower = 2.0 * self._means[rejected_low - 1] - 1.0 if rejected_low else -1.0
        upper = 2.0 * self._means[-rejected_high] - 1.0 if rejected_high else 1.0
        return MeanBounds(max(self.bounds.lower, _on_grid(lower)), min(self.bounds.upper, _on_grid(upper)))


def reference_bounds(values: Iterable[float], config: BettingConfig | None = None) -> list[MeanBounds]:
    """The bounds after each value, as the formulas of the source state them: the readable twin of `add`."""
    c = config or BettingConfig()
    x = [(value + 1.0) / 2.0 for value in values]
    means = [step / c.steps for step in range(1, c.steps)]
    up, down = dict.fromkeys(means, 1.0), dict.fromkeys(means, 1.0)
    bounds, lower, upper = [], -1.0, 1.0
    for t in range(1, len(x) + 1):
        mean_of = [(0.5 + sum(x[:i])) / (i + 1) for i in range(t)]  # mu_i of the source, i = 0 .. t - 1
        variance = (0.25 + sum((x[i - 1] - mean_of[i]) ** 2 for i in range(1, t))) / t
        stake = math.sqrt(2.0 * math.log(1.0 / c.alpha) / (variance * t * math.log(1.0 + t)))
        for m in means:
            up[m] *= 1.0 + min(stake, c.largest_stake / m) * (x[t - 1] - m)
            down[m] *= 1.0 - min(stake, c.largest_stake / (1.0 - m)) * (x[t - 1] - m)
        lower = max([lower, *(2.0 * m - 1.0 for m in means if up[m] >= 1.0 / c.alpha)])
        upper = min([upper, *(2.0 * m - 1.0 for m in means if down[m] >= 1.0 / c.alpha)])
        bounds.append(MeanBounds(lower, upper))
    return bounds


def _on_grid(value: float) -> float:
    """Without the rounding error of the grid, so that the mean in the middle is exactly 0."""
    return round(float(value), 12) + 0.0
