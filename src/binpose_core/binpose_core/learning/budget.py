"""When a training loop ends: after its steps, its samples or its minutes, decided in one place and by one process."""

from collections.abc import Callable

import torch
import torch.distributed as distributed

from binpose_core.learning.hooks import Hook, LoopState
from binpose_core.learning.weights import LoopProgress


def decided_by_rank_zero(value: float) -> float:
    """The value that the process of rank 0 has, in all processes of a distributed training; else the value itself.

    Clocks differ between processes. One that ends a step before the others would leave them waiting for its gradients.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    decided = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(decided, src=0)
    return float(decided.item())


class Budget(Hook):
    """Counts steps, samples and time, and sets the fraction of the budget that is spent.

    Time is that between the ends of two steps: batches, hooks and checkpoints count, pauses between two runs do not.

    Args:
        clock: seconds that rise.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._last = clock, 0.0

    def before_training(self, state: LoopState) -> None:
        """Start the clock."""
        self._last = self._clock()

    def after_step(self, state: LoopState) -> None:
        """Add the step; the loop ends where the fraction is 1."""
        now, before, config = self._clock(), state.progress, state.config
        seconds, self._last = now - self._last, now
        steps, samples = before.steps + 1, before.samples + state.batch_samples
        if config.steps is not None:
            fraction = steps / config.steps
        elif config.samples is not None:
            fraction = samples / config.samples
        else:
            fraction = before.fraction + seconds / 60.0 / config.minutes
        state.progress = LoopProgress(min(decided_by_rank_zero(fraction), 1.0), steps, samples)
