"""How long named steps take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Report = Callable[[str, float], None]
"""Takes the name of a step and its wall-clock seconds."""


def no_report(name: str, seconds: float) -> None:
    """Ignore a time."""


@contextmanager
def measured(name: str, report: Report) -> Iterator[None]:
    """Report the time that the block takes, also when it raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        report(name, time.perf_counter() - start)


@dataclass(frozen=True)
class Stopwatch:
    """Measures calls by name.

    seconds: sums of the times of each name.
    report: takes each time too.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    report: Report = no_report

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, measured at each call, also when it raises."""

        def call(*args: Any) -> Any:
            with measured(name, self._add):
                return function(*args)

        return call

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.report(name, seconds)
