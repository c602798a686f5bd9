"""The settings of the training loop."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from binpose_core.base.errors import BinposeError

if TYPE_CHECKING:
    from typing_extensions import Self

LEAST_LEFT = 0.5
"""Of a loop's minutes, at least this fraction is left for it by `without`."""


@dataclass(frozen=True)
class LoopConfig:
    """How long a loop runs and how its optimiser, AdamW, is set.

    minutes: wall-clock budget on this machine, checkpoints and validation included.
    steps: budget in steps instead of minutes.
    samples: budget in samples instead of minutes; steps and samples exclude each other.
    learning_rate: the highest one; it rises over the first `warmup` of the run and falls to zero along a cosine.
    weight_decay: AdamW's.
    warmup: fraction of the run, in [0, 1), over which the learning rate rises.
    average_steps: time constant of the exponential moving average of the weights, which is what is returned.
    max_gradient: a longer gradient, over all weights, is cut to this norm.
    checkpoint_s: seconds between checkpoints.
    low_precision: bfloat16 where the processor is faster with it.
    """

    minutes: float = 10.0
    steps: int | None = None
    samples: int | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.03
    average_steps: int = 200
    max_gradient: float = 5.0
    checkpoint_s: float = 60.0
    low_precision: bool = True

    def __post_init__(self) -> None:
        if not self.minutes > 0 or (self.steps is not None and self.steps < 1):
            raise BinposeError(f"minutes must be > 0 and steps >= 1, got {self.minutes} and {self.steps}.")
        if self.samples is not None and (self.samples < 1 or self.steps is not None):
            raise BinposeError(
                f"samples must be >= 1 and steps None beside them, got {self.samples} and {self.steps}; choose one."
            )
        if not self.learning_rate > 0:
            raise BinposeError(f"learning_rate must be > 0, got {self.learning_rate}.")
        if not 0 <= self.warmup < 1:
            raise BinposeError(f"warmup must be a fraction in [0, 1), got {self.warmup}.")

    def rate(self, fraction: float) -> float:
        """The learning rate where this fraction, in [0, 1], of the budget is spent."""
        if fraction < self.warmup:
            return self.learning_rate * (fraction / self.warmup + 0.01)
        angle = np.pi * min(1.0, (fraction - self.warmup) / (1.0 - self.warmup))
        return self.learning_rate * float(0.5 + 0.5 * np.cos(angle)) + 1e-6

    def without(self, seconds: float) -> "Self":
        """The same loop with less time, as preparations took these seconds of it; half of its minutes stay."""
        return replace(self, minutes=max(self.minutes - seconds / 60.0, LEAST_LEFT * self.minutes))
