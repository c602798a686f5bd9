"""After a swap: does the new model stay within the band that the model before it kept?

Four rates are watched, each with its own anytime-valid test against the band of the model before: verified poses per
frame, the unexplained fraction, the time per frame and failed picks. The band is measured once, on frames of the
model before the swap. Leaving it states why; the caller rolls back.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.types import PoseEstimate
from binpose_pipeline.depth_check import check_depth
from binpose_self_training.gate.betting import BettingConfig, ConfidenceSequence

SIGNALS = VERIFIED, UNEXPLAINED, LATENCY, PICKS = "verified", "unexplained", "latency", "picks"
WORDS: Mapping[str, str] = {
    VERIFIED: "poses that the depth confirms, relative to the usual number in a frame",
    UNEXPLAINED: "unexplained fraction of the bin",
    LATENCY: "frames that take longer than nearly all before",
    PICKS: "failed picks",
}
USUAL, SLOW = 0.9, 0.95
"""Quantiles of the champion's own frames: of the number of confirmed poses that counts as 1, and of the slow frames."""


@dataclass(frozen=True)
class WatchConfig:
    """When a new model leaves the band of the one before it.

    margin: change of a rate that is tolerated beyond its band, as a part of its range of 1.
    alpha: probability of a false alarm over all time and all rates.
    fewest: frames of the model before it that a band needs.
    """

    margin: float = setting(0.1, bounds=(0.0, 1.0))
    alpha: float = setting(0.01, bounds=(1e-9, 0.5))
    fewest: int = setting(20, bounds=(2, 100_000))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class WatchedFrame:
    """What is known of one frame of the model in use.

    confirmed: reported poses that agree with the depth. unexplained: fraction of the bin's content, NaN where unknown.
    seconds: of all stages. failed: of each pick since the frame before, whether it failed.
    """

    confirmed: int
    unexplained: float = math.nan
    seconds: float = math.nan
    failed: Sequence[bool] = ()


def watched(
    poses: Sequence[PoseEstimate], unexplained: float, seconds: float, failed: Sequence[bool] = ()
) -> WatchedFrame:
    """The numbers of a frame from its reported poses, see `TimedResult`."""
    return WatchedFrame(check_depth(poses).agree, unexplained, seconds, failed)


@dataclass(frozen=True)
class Band:
    """The rates of the model before the swap.

    usual: number of confirmed poses that counts as 1; slow_s: seconds from which a frame counts as slow.
    means: of each rate in [0, 1]. deviations: standard errors of these.
    """

    usual: float
    slow_s: float
    means: Mapping[str, float]
    deviations: Mapping[str, float]

    @classmethod
    def of(cls, frames: Sequence[WatchedFrame], config: WatchConfig | None = None) -> "Band":
        """The band of frames of the model before the swap.

        Raises:
            BinposeError: for too few frames.
        """
        c = config or WatchConfig()
        if len(frames) < c.fewest:
            raise BinposeError(
                f"{len(frames)} frames of the model in use; expected at least {c.fewest} as a measure for the next "
                "model; let it run longer before the swap."
            )
        usual = max(float(np.quantile([frame.confirmed for frame in frames], USUAL)), 1.0)
        seconds = [frame.seconds for frame in frames if math.isfinite(frame.seconds)]
        slow_s = float(np.quantile(seconds, SLOW)) if seconds else math.inf
        rates: dict[str, list[float]] = {name: [] for name in SIGNALS}
        for frame in frames:
            for name, value in _rates(frame, usual, slow_s):
                rates[name].append(value)
        known = {name: values for name, values in rates.items() if values}
        deviations = {name: float(np.std(values) / np.sqrt(len(values))) for name, values in known.items()}
        return cls(usual, slow_s, {name: float(np.mean(values)) for name, values in known.items()}, deviations)

    def to_json(self) -> dict[str, Any]:
        """The numbers by name."""
        return asdict(self)


def _rates(frame: WatchedFrame, usual: float, slow_s: float) -> list[tuple[str, float]]:
    """What a frame says about the rates, each value in [0, 1]; higher is worse, except for the confirmed poses."""
    found = [(VERIFIED, min(frame.confirmed / usual, 1.0))]
    if math.isfinite(frame.unexplained):
        found.append((UNEXPLAINED, float(np.clip(frame.unexplained, 0.0, 1.0))))
    if math.isfinite(frame.seconds):
        found.append((LATENCY, float(frame.seconds > slow_s)))
    return found + [(PICKS, float(failed)) for failed in frame.failed]


@dataclass
class Watch:
    """Watches the model in use after a swap.

    band: of the model before. config: margin and error rate.
    """

    band: Band
    config: WatchConfig = field(default_factory=WatchConfig)

    def __post_init__(self) -> None:
        betting = BettingConfig(alpha=self.config.alpha / len(SIGNALS))
        self.frames = 0
        self._tests = {name: ConfidenceSequence(betting) for name in SIGNALS}
        self._sums = {name: [0.0, 0.0] for name in SIGNALS}

    def __call__(self, frame: WatchedFrame) -> str:
        """Take one more frame; one sentence when the band is left, empty otherwise."""
        self.frames += 1
        for name, value in _rates(frame, self.band.usual, self.band.slow_s):
            if name not in self.band.means:
                continue
            sign = -1.0 if name == VERIFIED else 1.0
            self._tests[name].add(float(np.clip(sign * (value - self._limit(name)), -1.0, 1.0)))
            self._sums[name][0] += value
            self._sums[name][1] += 1
        return next((self._sentence(name) for name in SIGNALS if self._tests[name].bounds.is_positive), "")

    def _limit(self, name: str) -> float:
        """The end of the band of a rate: its mean, twice its standard error, and the tolerated change."""
        away = self.config.margin + 2.0 * self.band.deviations.get(name, 0.0)
        mean = self.band.means.get(name, 0.0)
        return max(mean - away, 0.0) if name == VERIFIED else min(mean + away, 1.0)

    def _sentence(self, name: str) -> str:
        total, count = self._sums[name]
        return (
            f"The new model leaves the band of the one before it after {self.frames} frames: {WORDS[name]} are "
            f"{total / max(count, 1):.2f} on average, {self.band.means.get(name, 0.0):.2f} before; the limit is "
            f"{self._limit(name):.2f}."
        )
