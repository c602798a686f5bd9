"""The times of two models on the same frames, measured in turn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from binpose_core.base.settings import check_bounds, setting

FEWEST = 5
"""Frames below which no ratio is stated."""


@dataclass(frozen=True)
class LatencyConfig:
    """How much slower a candidate may be.

    largest_ratio: of the times of candidate and champion on a frame, in the median.
    alpha: probability that the stated bounds miss the median ratio, each.
    """

    largest_ratio: float = setting(1.25, bounds=(0.1, 100.0))
    alpha: float = setting(0.05, bounds=(1e-6, 0.5))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class LatencyComparison:
    """Median seconds per frame of both models, the median ratio with bounds, and whether it is too large.

    state: "kept", "lost" or "open".
    """

    champion_s: float
    candidate_s: float
    ratio: float
    lower: float
    upper: float
    state: str


def compare_latency(
    champion_s: Sequence[float], candidate_s: Sequence[float], config: LatencyConfig | None = None
) -> LatencyComparison | None:
    """Compare the times (N,) on the same frames; None with too few frames.

    The bounds are order statistics of the ratios, so that a few disturbed measurements do not matter.
    """
    c, count = config or LatencyConfig(), len(champion_s)
    if count < FEWEST:
        return None
    one, other = np.asarray(champion_s, np.float64), np.asarray(candidate_s, np.float64)
    ratios = np.sort(np.maximum(other, 1e-9) / np.maximum(one, 1e-9))
    rank = max(int(binom.ppf(c.alpha, count, 0.5)) - 1, 0)
    lower, ratio, upper = ratios[rank], np.median(ratios), ratios[count - 1 - rank]
    state = "lost" if lower > c.largest_ratio else "open" if ratio > c.largest_ratio else "kept"
    return LatencyComparison(
        float(np.median(one)), float(np.median(other)), float(ratio), float(lower), float(upper), state
    )
