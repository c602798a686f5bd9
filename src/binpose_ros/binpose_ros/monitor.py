"""What a node reports in /diagnostics: times per stage, counts, model, and the reasons when there are no results."""

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from binpose_core.base.reasons import Reason
from binpose_core.base.stopwatch import measured
from binpose_core.frames.types import PoseEstimate
from binpose_core.learning.bundle import ModelBundle
from binpose_core.learning.model_store import SHORT
from binpose_ros.agreement import Agreement
from binpose_ros.mailbox import FrameCounts
from binpose_ros.outcome import Outcome
from binpose_ros.problems import Problem, codes, message_of
from binpose_ros.stamps import NS_PER_S, Header, to_header

WINDOW = 100
SILENT_S = 5.0
OK, WARN, ERROR = 0, 1, 2
NO_FRAME_YET = Outcome(Reason.NO_FRAME, "No frame yet.")


@dataclass
class Monitor:
    """Collects, and gives a diagnostic_msgs/DiagnosticStatus. Threads may share it.

    counts: see `mailbox.FrameCounts`.
    outcome: of the last frame.
    model_reason: why the model that should be in use is refused; empty when it is not.
    agreement: of the reported poses with the depth image, and with what the scores were calibrated with.
    unexplained: fraction of the bin's content that no pose of the last frame explains; NaN where unknown.
    """

    counts: FrameCounts = field(default_factory=FrameCounts)
    outcome: Outcome = NO_FRAME_YET
    model_reason: str = ""
    agreement: Agreement = field(default_factory=Agreement)
    unexplained: float = math.nan
    _notes: dict[Reason, tuple[str, ...]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _times: dict[str, deque[float]] = field(default_factory=dict)
    _last_complete: float = -math.inf
    _arrived: tuple[float, float] = (-math.inf, 0.0)
    _current: dict[str, float] = field(default_factory=dict)
    _newest: tuple[int, dict[str, float]] = field(default_factory=lambda: (0, {}))

    # --- One frame ----------------------------------------------------------------------------------------------------

    @contextmanager
    def frame(self, stamp_ns: int, now_ns: int) -> Iterator[None]:
        """Around the work on a frame: adds its time as `frame`, and as `delay` how old its stamp is at the start."""
        self._current = {}
        self.add("delay", (now_ns - stamp_ns) / NS_PER_S)
        with self.measured("frame"):
            yield
        self._newest = (stamp_ns, self._current)

    def measured(self, stage: str) -> AbstractContextManager[None]:
        """Adds the time that the block takes, also when it raises."""
        return measured(stage, self.add)

    def add(self, stage: str, seconds: float) -> None:
        """Add a measurement."""
        with self._lock:
            self._times.setdefault(stage, deque(maxlen=WINDOW)).append(seconds)
            self._current[stage] = seconds

    def reported(self, poses: Sequence[PoseEstimate]) -> None:
        """Take the reported poses of a frame."""
        with self._lock:
            self.agreement.add(poses)

    def finished(self, outcome: Outcome) -> None:
        """Take what became of a frame."""
        with self._lock:
            self.counts.failed += outcome.is_failure
            self.counts.done += not outcome.is_failure
            self.outcome = outcome

    def note(self, reason: Reason, *messages: str) -> None:
        """Take what is wrong with a frame that is processed all the same, in place of what was wrong before.

        Args:
            reason: of the messages.
            messages: a problem each; empty ones do not count.
        """
        with self._lock:
            self._notes[reason] = tuple(dict.fromkeys(message for message in messages if message))

    # --- The inputs ---------------------------------------------------------------------------------------------------

    def starts(self) -> None:
        """Frames are expected from now on; what became of earlier ones counts no more."""
        self._last_complete, self._arrived = time.monotonic(), (-math.inf, 0.0)
        with self._lock:
            self.outcome = NO_FRAME_YET
            self._notes.clear()
            self.agreement.clear()

    def completed(self) -> None:
        """All messages of a frame arrived."""
        self._last_complete = time.monotonic()

    def arrived(self, stamp_ns: int, now_ns: int) -> None:
        """A message of the topic that names the frames arrived."""
        self._arrived = (time.monotonic(), (now_ns - stamp_ns) / NS_PER_S)

    @property
    def silent(self) -> bool:
        """Whether no frame was complete for a while."""
        return time.monotonic() - self._last_complete > SILENT_S

    @property
    def age_s(self) -> float | None:
        """How old the last message's stamp was when it arrived; None when none arrived for a while."""
        arrived_s, age_s = self._arrived
        return age_s if time.monotonic() - arrived_s <= SILENT_S else None

    # --- Diagnostics --------------------------------------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        """What is wrong with the last frames and the model."""
        with self._lock:
            outcome, notes = self.outcome, dict(self._notes)
            agreement = self.agreement.problems()
        found = [] if outcome.reason is Reason.OK else [Problem(outcome.reason, outcome.message)]
        found += [Problem(reason, message, message) for reason, messages in notes.items() for message in messages]
        found += [Problem(Reason.MODEL_REFUSED, self.model_reason)] if self.model_reason else []
        return found + agreement

    def status(
        self, name: str, state: str, model: ModelBundle[Any] | None, problems: Sequence[Problem], types: Any
    ) -> Any:
        """The DiagnosticStatus of now.

        Args:
            name: of the node.
            state: of its lifecycle.
            model: in use.
            problems: all that is wrong, the most important first.
            types: message classes.
        """
        with self._lock:
            stamp_ns, newest = self._newest[0], dict(self._newest[1])
            all_times = {stage: tuple(times) for stage, times in self._times.items()}
            outcome, agreement = self.outcome, self.agreement.values()
        values = {
            "state": state,
            "code": (problems[0].reason if problems else Reason.OK).code,
            "codes": codes(problems),
            "model_version": model.version[:SHORT] if model else "",
            **{f"frames_{key}": str(value) for key, value in vars(self.counts).items()},
            **{f"{stage}_ms": f"{1e3 * statistics.median(times):.1f}" for stage, times in all_times.items()},
            **{f"{stage}_ms_worst": f"{1e3 * max(times):.1f}" for stage, times in all_times.items()},
            "last_stamp_ns": str(stamp_ns),
            **{f"{stage}_ms_last": f"{1e3 * seconds:.2f}" for stage, seconds in newest.items()},
            "last_code": outcome.reason.code,
            "last_reason": outcome.message,
            "model_refused": self.model_reason,
            **agreement,
            **({"unexplained_last": f"{self.unexplained:.2f}"} if math.isfinite(self.unexplained) else {}),
        }
        return types.DiagnosticStatus(
            level=types.byte(WARN if problems else OK),
            name=name,
            message=message_of(problems) or "ok",
            hardware_id="binpose",
            values=[types.KeyValue(key=key, value=value) for key, value in values.items()],
        )


def diagnostics_of(statuses: Sequence[Any], stamp_ns: int, types: Any) -> Any:
    """The DiagnosticArray for /diagnostics."""
    return types.DiagnosticArray(header=to_header(Header(stamp_ns, ""), types), status=list(statuses))
