"""What a node tells of itself: latencies per stage, counts, model, and the reason when there is no result."""

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from binpose_core.model_store import SHORT
from binpose_ros.joining import Counts
from binpose_ros.models import LoadedModel
from binpose_ros.stamps import NS_PER_S, Header, to_header

WINDOW = 100
SILENT_S = 5.0
OK, WARN, ERROR = 0, 1, 2


@dataclass
class Monitor:
    """Collects, and gives a diagnostic_msgs/DiagnosticStatus. Threads may share it.

    counts: see `joining.Counts`.
    reason: why the last frame gave no result; empty when it did.
    model_reason: why the last new model was refused; empty when it was not.
    """

    counts: Counts = field(default_factory=Counts)
    reason: str = "no frame yet"
    model_reason: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _times: dict[str, deque[float]] = field(default_factory=dict)
    _last_complete: float = -math.inf
    _lacking: Callable[[], str] = lambda: "The node does not listen."
    _current: dict[str, float] = field(default_factory=dict)
    _newest: tuple[int, dict[str, float]] = field(default_factory=lambda: (0, {}))

    @contextmanager
    def frame(self, stamp_ns: int, now_ns: int) -> Iterator[None]:
        """Around the work on a frame: adds its time as `frame`, and as `delay` how old its stamp is at the start."""
        self._current = {}
        self.add("delay", (now_ns - stamp_ns) / NS_PER_S)
        with self.measured("frame"):
            yield
        self._newest = (stamp_ns, self._current)

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Adds the time that the block takes, also when it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        """Add a measurement."""
        with self._lock:
            self._times.setdefault(stage, deque(maxlen=WINDOW)).append(seconds)
            self._current[stage] = seconds

    def listens(self, lacking: Callable[[], str]) -> None:
        """Frames are waited for from now on; `lacking` says what is missing when none is complete for a while."""
        self._last_complete, self._lacking = time.monotonic(), lacking

    def completed(self) -> None:
        """All messages of a frame came."""
        self._last_complete = time.monotonic()

    def failed(self, reason: str) -> None:
        """A frame gave no result."""
        with self._lock:
            self.counts.failed += 1
            self.reason = reason

    def succeeded(self, reason: str = "") -> None:
        """A frame gave a result; `reason` where it is empty."""
        with self._lock:
            self.counts.done += 1
            self.reason = reason

    def told(self, state: str) -> str:
        """Why there are no results, or a new model is not used; empty when all is well."""
        silent = state == "active" and time.monotonic() - self._last_complete > SILENT_S
        return " ".join(text for text in (self._lacking() if silent else "", self.reason, self.model_reason) if text)

    def status(self, name: str, state: str, model: LoadedModel[Any] | None, types: Any) -> Any:
        """The DiagnosticStatus of now; `state` is that of the lifecycle."""
        reason = self.told(state)
        with self._lock:
            stamp_ns, newest = self._newest[0], dict(self._newest[1])
            all_times = {stage: tuple(times) for stage, times in self._times.items()}
        values = {
            "state": state,
            "model_version": model.version[:SHORT] if model else "",
            **{f"frames_{name}": str(value) for name, value in vars(self.counts).items()},
            **{f"{stage}_ms": f"{1e3 * statistics.median(times):.1f}" for stage, times in all_times.items()},
            **{f"{stage}_ms_worst": f"{1e3 * max(times):.1f}" for stage, times in all_times.items()},
            "last_stamp_ns": str(stamp_ns),
            **{f"{stage}_ms_last": f"{1e3 * seconds:.2f}" for stage, seconds in newest.items()},
            "last_reason": self.reason,
            "model_refused": self.model_reason,
        }
        return types.DiagnosticStatus(
            level=types.byte(WARN if state != "active" or reason else OK),
            name=name,
            message=reason or "ok",
            hardware_id="binpose",
            values=[types.KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def message(self, name: str, state: str, model: LoadedModel[Any] | None, stamp_ns: int, types: Any) -> Any:
        """The DiagnosticArray for /diagnostics."""
        header = to_header(Header(stamp_ns, ""), types)
        return types.DiagnosticArray(header=header, status=[self.status(name, state, model, types)])
