"""Time of the stages of a training, allotted in one place while they run."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from binpose_training.config import TrainConfig

Item = TypeVar("Item")

LEAST = 0.25
"""Of the time that a stage was meant to have, it keeps at least this fraction when earlier ones took too long."""
SAVE_S = 5.0
"""Seconds between two records of the time spent: a killed process loses at most as much."""


@dataclass(frozen=True)
class StageTime:
    """allotted_s: seconds that a stage was given when it began. spent_s: seconds it took. done: whether it ended."""

    allotted_s: float
    spent_s: float = 0.0
    done: bool = False


class StageSchedule:
    """Divides what is left of the budget among the stages that are left, at the beginning of each.

    A stage that takes longer than planned shortens those after it, and one that is done early lengthens them.

    Args:
        config: the budget and the stages.
        times: of the stages that ran before an interruption, as `save` got them.
        save: called with the times of the stages, as plain data.
        clock: seconds that rise.
    """

    def __init__(
        self,
        config: TrainConfig,
        times: Mapping[str, Any] | None = None,
        save: Callable[[dict[str, Any]], object] = lambda times: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs, self._total_s, self.clock, self._save = config.stages, 60.0 * config.minutes, clock, save
        self.times = {name: StageTime(**values) for name, values in (times or {}).items()}
        self._current, self._last, self._saved = "", clock(), clock()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[float]:
        """Run a stage in the block; yields the seconds that it has, those of its interrupted runs included.

        One that is no job, such as a preparation, has none of its own; its time counts all the same.
        """
        outer = self._current
        self._account()
        if name not in self.times or self.times[name].done:
            self.times[name] = self._begin(name)
        self._current = name
        try:
            yield self.times[name].allotted_s
            self._account()
            self.times[name] = replace(self.times[name], done=True)
        finally:
            self._account()
            self._current = outer
            self._record()

    def done(self, name: str) -> bool:
        """Whether a stage has ended."""
        return name in self.times and self.times[name].done

    @property
    def left_s(self) -> float:
        """Seconds until the end of the training."""
        self._account()
        return max(0.0, self._total_s - self._spent_s)

    def spent(self, name: str) -> float:
        """Fraction of a running stage's time that is spent, in [0, 1]."""
        self._account()
        return min(1.0, self.times[name].spent_s / self.times[name].allotted_s)

    def limited(self, items: Sequence[Item], until: float, least: int) -> Iterator[Item]:
        """The items, at least so many of them, until the fraction `until` of the running stage's time is spent."""
        for number, item in enumerate(items):
            if number >= least and self.spent(self._current) >= until:
                return
            yield item

    @property
    def _spent_s(self) -> float:
        return sum(stage.spent_s for stage in self.times.values())

    def _account(self) -> None:
        """Add the time since the last call to the running stage."""
        now = self.clock()
        if self._current:
            running = self.times[self._current]
            self.times[self._current] = replace(running, spent_s=running.spent_s + now - self._last)
        self._last = now
        if now - self._saved > SAVE_S:
            self._record()

    def _record(self) -> None:
        self._saved = self.clock()
        self._save({name: asdict(stage) for name, stage in self.times.items()})

    def _begin(self, name: str) -> StageTime:
        """The time of a stage that begins; a repeated preparation keeps what it took before."""
        before = self.times[name].spent_s if name in self.times else 0.0
        return StageTime(self._allotted(name) if name in self._jobs else 0.0, before)

    def _allotted(self, name: str) -> float:
        job = self._jobs[name]
        if job.minutes is not None:
            return 60.0 * job.minutes
        own_s = {key: 60.0 * other.minutes for key, other in self._jobs.items() if other.minutes is not None}
        others = [key for key in self._jobs if key not in own_s and key not in self.times]
        left_s = self._total_s - self._spent_s - sum(s for key, s in own_s.items() if key not in self.times)
        meant_s = (self._total_s - sum(own_s.values())) * job.fraction
        meant_s /= sum(other.fraction for key, other in self._jobs.items() if key not in own_s)
        planned_s = left_s * job.fraction / sum(self._jobs[key].fraction for key in {*others, name})
        return max(planned_s, LEAST * meant_s)
