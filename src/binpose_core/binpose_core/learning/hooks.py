"""What runs beside the steps of a training: reports, validation and checkpoints, as hooks of the one loop.

The pattern is that of detectron2's `HookBase`: the loop knows nothing of what its hooks do.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.weights import LoopProgress, load_checkpoint, save_checkpoint

StepCallback = Callable[[float, dict[str, float]], None]


@dataclass
class LoopState:
    """What a loop shares with its hooks; the loop changes it at each step, the budget its progress.

    network: that is trained. average: moving average of its weights, in evaluation mode.
    progress: fraction of the budget, steps and samples so far.
    losses: of the last step, by name. rate: learning rate of the last step. batch_samples: samples in its batch.
    metrics: of the last validation, by name; empty before the first.
    """

    network: torch.nn.Module
    average: torch.nn.Module
    optimizer: torch.optim.Optimizer
    config: LoopConfig
    progress: LoopProgress = field(default_factory=LoopProgress)
    losses: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0
    batch_samples: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


class Hook:
    """Called by the loop; each method does nothing unless a subclass says otherwise.

    every_rank: whether it is called in each of several processes that train together, and not in rank 0 alone.
    """

    every_rank: ClassVar[bool] = False

    def before_training(self, state: LoopState) -> None:
        """Called once, before the first step of this process."""

    def after_step(self, state: LoopState) -> None:
        """Called after each step, when the progress is counted; what it raises ends the training."""

    def after_training(self, state: LoopState) -> None:
        """Called once at the end, also after an error or an interruption, and when another hook failed."""


class StepReport(Hook):
    """Calls a function after each step with the fraction of the budget spent and the losses."""

    def __init__(self, on_step: StepCallback) -> None:
        self._on_step = on_step

    def after_step(self, state: LoopState) -> None:
        """Report the step, its validation metrics included."""
        self._on_step(state.progress.fraction, {**state.losses, **state.metrics})


class Validation(Hook):
    """Measures the averaged network at even fractions of the budget, and at its end.

    Args:
        measure: the averaged network, in evaluation mode, to metrics by name.
        times: how often in a training.
    """

    def __init__(self, measure: Callable[[torch.nn.Module], Mapping[str, float]], times: int = 4) -> None:
        if times < 1:
            raise BinposeError(f"Validation measures {times} times; expected at least 1; leave the hook out instead.")
        self._measure, self._times, self._done = measure, times, 0

    def before_training(self, state: LoopState) -> None:
        """Skip what an interrupted run has measured before."""
        self._done = int(state.progress.fraction * self._times)

    def after_step(self, state: LoopState) -> None:
        """Measure where the next fraction is reached."""
        due = int(state.progress.fraction * self._times)
        if due > self._done:
            self._done = due
            with torch.no_grad():
                state.metrics = dict(self._measure(state.average))


class Checkpoint(Hook):
    """Keeps the run in a file, from time to time and at the end of the process.

    Args:
        path: the file; one that exists is resumed from.
        every_s: seconds between two checkpoints.
        clock: seconds that rise.
    """

    def __init__(self, path: Path, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._every_s, self._clock, self._saved = path, every_s, clock, clock()

    def restore(self, state: LoopState) -> None:
        """Load the run that the file keeps, where there is one.

        Raises:
            BinposeError: if it is damaged or belongs to another network.
        """
        if self._path.exists():
            state.progress = load_checkpoint(self._path, state.network, state.average, state.optimizer)
        self._saved = self._clock()

    def after_step(self, state: LoopState) -> None:
        """Save where it is time."""
        if self._clock() - self._saved > self._every_s:
            self.after_training(state)
            self._saved = self._clock()

    def after_training(self, state: LoopState) -> None:
        """Save the run as it is."""
        save_checkpoint(self._path, state.network, state.average, state.optimizer, state.progress)
