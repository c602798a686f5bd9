"""When a training loop ends: after its steps, its samples or its minutes, decided in one place."""

from collections.abc import Callable

from binpose_core.learning.hooks import Hook, LoopState
from binpose_core.learning.ranks import summed_over_ranks
from binpose_core.learning.weights import LoopProgress


class Budget(Hook):
    """Counts steps, samples and time, and sets the fraction of the budget that is spent.

    Samples are those of all processes that train together. Time is that between the ends of two steps: batches, hooks
    and checkpoints count, pauses between two runs do not.

    Args:
        clock: seconds that rise.
    """

    every_rank = True

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._last = clock, 0.0

    def before_training(self, state: LoopState) -> None:
        """Start the clock."""
        self._last = self._clock()

    def after_step(self, state: LoopState) -> None:
        """Add the step; the loop ends where the fraction is 1."""
        now, before, config = self._clock(), state.progress, state.config
        seconds, self._last = now - self._last, now
        steps, samples = before.steps + 1, before.samples + summed_over_ranks(state.batch_samples)
        if config.steps is not None:
            fraction = steps / config.steps
        elif config.samples is not None:
            fraction = samples / config.samples
        else:
            fraction = before.fraction + seconds / 60.0 / config.minutes
        state.progress = LoopProgress(min(fraction, 1.0), steps, samples)
