"""The curve of a training's validation, and where it has stopped rising."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, write_json
from binpose_core.learning.hooks import Hook, LoopState


@dataclass(frozen=True)
class ValidationConfig:
    """How a training is validated on unseen data, and when it ends before its budget.

    views: unseen simulated views; 0 = no validation.
    times: how often in a training.
    minimum: fraction of the budget that is always used.
    patience: validations without a rise after which the training ends; 0 = never before its budget.
    least_gain: a smaller rise of the smoothed curve counts as none.
    smoothing: validations that are averaged.
    """

    views: int = 12
    times: int = 12
    minimum: float = 0.75
    patience: int = 3
    least_gain: float = 0.002
    smoothing: int = 3

    def __post_init__(self) -> None:
        if self.views < 0 or self.times < 1 or self.patience < 0 or self.smoothing < 1:
            raise BinposeError(
                f"Validation on {self.views} views, {self.times} times, with patience {self.patience} and smoothing "
                f"{self.smoothing}; expected views and patience of at least 0, the others of at least 1."
            )
        if not 0 <= self.minimum <= 1 or not 0 <= self.least_gain < 1:
            raise BinposeError(
                f"Validation with minimum {self.minimum} and least_gain {self.least_gain}; expected fractions from 0 "
                "to 1."
            )


@dataclass(frozen=True)
class CurvePoint:
    """One validation: the fraction of the budget, the steps and samples before it, and its metrics by name."""

    fraction: float
    steps: int
    samples: int
    metrics: dict[str, float]


def smoothed(values: Sequence[float], number: int) -> list[float]:
    """Each value averaged with the values before it, `number` in all; the first ones with fewer."""
    return [float(np.mean(values[max(0, i + 1 - number) : i + 1])) for i in range(len(values))]


def has_stopped_rising(values: Sequence[float], config: ValidationConfig) -> bool:
    """Whether none of the last `patience` smoothed values is above the best one before by more than the least gain."""
    curve = smoothed(values, config.smoothing)
    before, recent = curve[: len(curve) - config.patience], curve[len(curve) - config.patience :]
    if config.patience == 0 or len(before) < config.smoothing:
        return False
    return max(recent) <= max(before) + config.least_gain


class ValidationCurve(Hook):
    """Keeps what `hooks.Validation` measured, and ends the training where the curve has stopped rising.

    It comes after that hook. A training that ends counts as complete: a run that is resumed does not continue it.

    Args:
        config: when the training ends.
        metric: name of the metric that decides, of which more is better.
        file: where the curve is kept, so that a resumed run continues it.
    """

    def __init__(self, config: ValidationConfig, metric: str, file: Path) -> None:
        self._config, self._metric, self._file = config, metric, file
        self._points: list[CurvePoint] = []
        self._seen: dict[str, float] = {}

    def before_training(self, state: LoopState) -> None:
        """Read the curve of an interrupted run, up to where its checkpoint is."""
        kept = read_curve(self._file) if state.progress.steps else []
        self._points = [point for point in kept if point.steps <= state.progress.steps]
        self._seen = state.metrics

    def after_step(self, state: LoopState) -> None:
        """Add a new measurement; end the training where it is time."""
        if state.metrics is self._seen:
            return
        self._seen, now = state.metrics, state.progress
        self._points.append(CurvePoint(now.fraction, now.steps, now.samples, dict(state.metrics)))
        write_json(self._file, [asdict(point) for point in self._points], durable=False)
        values = [point.metrics[self._metric] for point in self._points]
        if now.fraction >= self._config.minimum and has_stopped_rising(values, self._config):
            state.progress = replace(now, fraction=1.0)


def read_curve(file: Path) -> list[CurvePoint]:
    """The curve that a training kept; empty where there is none.

    Raises:
        BinposeError: if the file is damaged.
    """
    return [CurvePoint(**point) for point in read_json(file)] if file.exists() else []
