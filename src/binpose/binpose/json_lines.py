"""Progress and result of a command as one JSON object per line on standard output, for programs."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import to_json
from binpose_core.base.reasons import Reason
from binpose_core.learning.hooks import Hook, StepReport
from binpose_self_training.stage_names import round_of, stage_of_round

if TYPE_CHECKING:
    from binpose_self_training.records import RoundRecord
    from binpose_self_training.rounds import Report
    from binpose_self_training.self_training import SelfTrainingResult

PERIOD_S = 0.5
"""Between two lines about one stage; its first and its last one are always written."""


@dataclass
class JsonLines:
    """Writes the events of a self-training: progress, losses, round, note, result, error.

    stream: of the lines. period_s: least time between two lines about one stage. clock: seconds that rise.
    """

    stream: IO[str]
    period_s: float = PERIOD_S
    clock: Callable[[], float] = time.monotonic
    _written_s: dict[str, float] = field(default_factory=dict)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Writes what the block does."""
        self.report(text.lower(), 0.0, "")
        return nullcontext()

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Writes each kernel that is compiled in the block."""
        from binpose_core.base.kernel_compilation import on_compilation

        with on_compilation(lambda number, name: self.report("compiling kernels", 0.0, f"{number}, {name}")):
            yield

    def progress(self) -> "AbstractContextManager[Report]":
        """Writes what it is called with."""
        return nullcontext(self.report)

    def report(self, stage: str, fraction: float, message: str) -> None:
        """Write how much of a stage is done."""
        if self._is_due(stage, fraction):
            self._write("progress", stage=stage, round=round_of(stage), fraction=round(fraction, 4), message=message)

    def hooks(self, number: int, stage: str) -> Sequence[Hook]:
        """Hooks of a round's training loop that write its losses."""
        name = f"{stage_of_round(number, stage)}, losses"

        def on_step(fraction: float, losses: Mapping[str, float]) -> None:
            if self._is_due(name, fraction):
                self._write("losses", round=number, stage=stage, losses=dict(losses))

        return [StepReport(on_step)]

    def record(self, record: "RoundRecord") -> None:
        """Write the pseudo labels of a round, and later its student."""
        self._write("round", **record.to_json())

    def note(self, text: str) -> None:
        """Write a sentence about something that was left out."""
        self._write("note", message=text)

    def result(self, result: "SelfTrainingResult", promoted: bool, message: str) -> None:
        """Write the decision, as the last line."""
        verdict = result.verdict
        self._write(
            "result",
            message=message,
            champion=result.champion.version,
            candidate=result.candidate.version if result.has_candidate else "",
            promoted=promoted,
            verdict=None if verdict is None else verdict.to_json(),
        )

    def interrupted(self, message: str) -> None:
        """Write that the run was interrupted, as the last line."""
        self._write("error", code=Reason.CANCELLED.code, message=message)

    def failed(self, error: BinposeError) -> None:
        """Write why there is no result, as the last line."""
        self._write("error", code=error.reason.code, message=str(error))

    def _is_due(self, stage: str, fraction: float) -> bool:
        now_s, last_s = self.clock(), self._written_s.get(stage)
        if last_s is not None and fraction < 1.0 and now_s - last_s < self.period_s:
            return False
        self._written_s[stage] = now_s
        return True

    def _write(self, event: str, **values: Any) -> None:
        self.stream.write(to_json({"event": event, **values}, indent=None))
        self.stream.flush()
