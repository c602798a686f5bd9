"""Runs a self-training in a process of its own at low priority, which can be cancelled and ends with this process."""

import contextlib
import queue
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import IO, Any

from binpose_core.base.errors import CannotWrite
from binpose_core.base.processes import GRACE_S
from binpose_core.base.reasons import Reason
from binpose_self_training.background import Process, end_process, events_of, start_in_background
from binpose_self_training.run_folders import remove_old_runs
from binpose_self_training.training_job import TrainingJob, TrainingOutcome, TrainingProgress
from binpose_self_training.undo import StoreState, undo

POLL_S = 0.2
RUN, LOG = "run.json", "log.txt"
"""In the run's folder: the file with which it begins, and what the process writes to its standard error."""


class Stop(Enum):
    """Why a run is to end before its time."""

    CANCEL = "its traces are removed"
    PAUSE = "the same job resumes it"


@dataclass(eq=False)
class TrainingProcess:
    """One run.

    job: what is trained. on_progress: called with each change. stop: why the run is to end now; None while it is not.
    grace_s: seconds that the process has to end by itself.
    """

    job: TrainingJob
    on_progress: Callable[[TrainingProgress], object] = lambda progress: None
    stop: Callable[[], Stop | None] = lambda: None
    grace_s: float = GRACE_S
    _progress: TrainingProgress = field(default_factory=TrainingProgress)
    _last: Mapping[str, Any] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def __call__(self) -> TrainingOutcome:
        """Train, and return how it ended.

        Raises:
            BinposeError: when the model store cannot be read, or the run's folder cannot be written to.
        """
        before = StoreState.of(self.job.model)
        stopped, status = self._work()
        outcome = self._outcome(before, stopped, status)
        # A run that has not begun leaves nothing to resume. The folder may be that of the run that keeps this one away.
        if outcome.reason is not Reason.BUSY and not (self.job.directory / RUN).is_file():
            shutil.rmtree(self.job.directory, ignore_errors=True)
        remove_old_runs(self.job.directory.parent, self.job.keep_runs)
        return outcome

    def _outcome(self, before: StoreState, stopped: Stop | None, status: int) -> TrainingOutcome:
        if self._last.get("event") == "result":
            return _completed(self._last, self._notes)
        if stopped is Stop.CANCEL:
            undo(self.job.model, before, self.job.directory)
            return TrainingOutcome(Reason.CANCELLED, "The self-training was cancelled; the model store is as it was.")
        if stopped is Stop.PAUSE:
            return TrainingOutcome(Reason.CANCELLED, "The self-training was interrupted; the same goal resumes it.")
        if self._last.get("event") == "error":
            return _failure(self._last)
        return TrainingOutcome(Reason.INTERNAL_ERROR, self._ended_silently(status))

    def _work(self) -> tuple[Stop | None, int]:
        """Start the process and follow it to its end; why it was stopped, and its exit status."""
        with self._open_log() as log:
            process = start_in_background("binpose.cli", self.job.arguments(), self.job.threads, log)
        try:
            stopped = self._follow(process)
            return stopped, process.wait()
        finally:
            end_process(process, self.grace_s)

    def _follow(self, process: Process) -> Stop | None:
        """Take the events until there are no more."""
        events, stopped = events_of(process), None
        while True:
            try:
                event = events.get(timeout=POLL_S)
            except queue.Empty:
                event = {}
            if event is None:
                return stopped
            self._take(event)
            if stopped is None and (stopped := self.stop()) is not None:
                end_process(process, self.grace_s)

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, progress = event.get("event"), self._progress
        if kind == "progress":
            losses = progress.losses if event["stage"] == progress.stage else {}
            progress = TrainingProgress(
                event["stage"], event["fraction"], event["round"], losses, progress.kept, progress.seen
            )
        elif kind == "losses":
            losses = {name: value for name, value in event["losses"].items() if value is not None}
            progress = replace(progress, losses=losses)
        elif kind == "round":
            progress = replace(progress, round=event["number"], kept=event["labels"], seen=event["poses"])
        elif kind == "note":
            self._notes.append(event["message"])
        elif kind in ("result", "error"):
            self._last = event
        if progress != self._progress:
            self._progress = progress
            self.on_progress(progress)

    def _open_log(self) -> IO[bytes]:
        path = self.job.directory / LOG
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("wb")
        except OSError as error:
            raise CannotWrite(
                f"Could not write {path}: {error.strerror}; expected room for a run; check the folder and its "
                "permissions.",
                path,
            ) from error

    def _ended_silently(self, status: int) -> str:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        with contextlib.suppress(OSError):
            words = (self.job.directory / LOG).read_text(errors="replace").strip().splitlines()[-1:]
            how += f" ({words[0].strip()})" if words else ""
        return f"The process of the self-training {how}; the model in use stays; send the same goal to resume it."


def _completed(event: Mapping[str, Any], notes: Sequence[str]) -> TrainingOutcome:
    verdict = event["verdict"]
    if verdict is None:
        return TrainingOutcome(Reason.NO_CANDIDATE, " ".join([event["message"], *notes[:1]]))
    message = " ".join([event["message"], *verdict["reasons"][:1]])
    return TrainingOutcome(
        Reason.OK,
        message,
        event["candidate"],
        verdict["decision"],
        bool(event["promoted"]),
        {**verdict, "left_out": list(notes)},
    )


def _failure(event: Mapping[str, Any]) -> TrainingOutcome:
    code = event.get("code", "")
    reason = Reason[code] if code in Reason.__members__ else Reason.INTERNAL_ERROR
    return TrainingOutcome(reason, event["message"])
