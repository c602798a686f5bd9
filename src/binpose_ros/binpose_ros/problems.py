"""What is wrong around a node: shown in /diagnostics while it lasts, and logged once."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from binpose_core.base.reasons import Reason

GONE_S = 300.0
# What does not keep a node from giving results stands behind what does.
_BESIDE = {
    Reason.SEVERAL_PUBLISHERS,
    Reason.DUPLICATE_NODE,
    Reason.BAD_FRAME_ID,
    Reason.CLOCK_MISMATCH,
    Reason.ODD_INPUT,
    Reason.UNKNOWN_PARAMETER,
    Reason.MODEL_REFUSED,
    Reason.ROLLED_BACK,
    Reason.OUT_OF_DISTRIBUTION,
    Reason.INCONSISTENT_WITH_DEPTH,
}
_GENERAL = {Reason.NO_FRAME}


class Problem(NamedTuple):
    """Something that is wrong.

    subject: what it is about, such as a topic. A problem with the same reason and subject is the same problem, also
        when the figures in its message have changed.
    """

    reason: Reason
    message: str
    subject: str = ""

    @property
    def key(self) -> tuple[Reason, str]:
        """What makes it the same problem."""
        return self.reason, self.subject


class ProblemLog:
    """Logs each problem when it appears, and again only after it was gone for a while.

    What comes and goes, as the silence between the images of a triggered camera, is not logged every time.

    Args:
        write: logs a sentence.
        clock: gives the time in seconds.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._present_s: dict[tuple[Reason, str], float] = {}

    def update(self, problems: Sequence[Problem]) -> None:
        """Take all problems of now."""
        now_s = self._clock()
        self._present_s = {key: last_s for key, last_s in self._present_s.items() if now_s - last_s <= GONE_S}
        for problem in problems:
            if problem.key not in self._present_s:
                self._write(problem.message)
            self._present_s[problem.key] = now_s


def message_of(problems: Sequence[Problem]) -> str:
    """Their sentences, one after the other, each once."""
    return " ".join(dict.fromkeys(problem.message for problem in problems if problem.message))


def codes(problems: Sequence[Problem]) -> str:
    """Their codes, divided by commas, each once; OK when there are none."""
    return ",".join(dict.fromkeys(problem.reason.code for problem in problems)) or Reason.OK.code


def by_importance(problems: Sequence[Problem]) -> list[Problem]:
    """First the causes that keep a node from giving results, then that it gives none, then what is wrong beside."""
    return sorted(problems, key=lambda problem: (problem.reason in _BESIDE, problem.reason in _GENERAL))
