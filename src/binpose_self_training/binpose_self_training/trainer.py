"""Self-trainings on request, one at a time: what the action of the node does, without ROS."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.base.settings import check_bounds, setting
from binpose_core.learning.model_store import ModelStore
from binpose_self_training.training_job import TrainingJob, TrainingOutcome, TrainingProgress, run_name
from binpose_self_training.training_process import Stop, TrainingProcess

RUNS = "self_training"
"""Folder of the runs in that of the model store."""

Confirm = Callable[[str], str]
"""Waits until the running nodes use a promoted version, and takes it back otherwise; why, or an empty text."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a self-training is started.

    directory: folder of the runs; self_training in the folder of the model when empty.
    rounds: largest number of rounds; that of the settings file, or of the library, when 0.
    frames: largest number of frames that a student learns from; as for rounds when 0.
    threads: of each numerical library, and processes that simulate bins.
    config: YAML file with settings, as `binpose self-train --write-config` writes it.
    keep_runs: finished runs whose reports stay on the disk; older ones are deleted after a run; 0 = all stay.
    swap_s: time in seconds in which the running nodes must use a promoted model; it is rolled back otherwise.
    """

    directory: str = ""
    rounds: int = setting(0, bounds=(0, 100), live=True)
    frames: int = setting(0, bounds=(0, 1_000_000), live=True)
    threads: int = setting(1, bounds=(1, 1024), live=True)
    config: str = setting("", live=True)
    keep_runs: int = setting(10, bounds=(0, 100_000), live=True)
    swap_s: float = setting(60.0, bounds=(0.0, 3600.0), live=True)

    def __post_init__(self) -> None:
        check_bounds(self)

    def job(self, model: Path, bags: Iterable[Path], rounds: int = 0, promote: bool = False) -> TrainingJob:
        """The job for a request.

        Args:
            model: folder of the model store.
            bags: recordings, or folders of recordings.
            rounds: largest number; 0 = that of the settings.
            promote: use what the gate promotes.

        Raises:
            BinposeError: for a store without a model in use, or recordings that are not there.
        """
        champion = ModelStore(model).load().version  # sound, before half an hour is spent on it
        recordings = tuple(bag.expanduser().absolute() for bag in bags)
        config = Path(self.config).expanduser() if self.config else None
        wanted = rounds or self.rounds
        name = run_name(champion, recordings, wanted, self.frames, config)
        directory = (Path(self.directory).expanduser() if self.directory else model / RUNS) / name
        return TrainingJob(
            model, recordings, directory, wanted, self.frames, promote, self.threads, config, self.keep_runs
        )


@dataclass(eq=False)
class SelfTrainer:
    """Runs one job at a time.

    confirm: waits for the running nodes after a promotion.
    """

    confirm: Confirm = lambda version: ""
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _paused: threading.Event = field(default_factory=threading.Event)
    _progress: TrainingProgress | None = None

    @property
    def progress(self) -> TrainingProgress | None:
        """Of the run that is under way; None while there is none."""
        return self._progress

    def __call__(
        self,
        make: Callable[[], TrainingJob],
        on_progress: Callable[[TrainingProgress], object] = lambda progress: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> TrainingOutcome:
        """Do a job, and return how it ended.

        Args:
            make: gives the job.
            on_progress: called with each change.
            is_cancelled: whether it is to end now and to leave everything as it was.

        Raises:
            BinposeError: when another one is under way, or the job cannot be begun.
        """
        if not self._busy.acquire(blocking=False):
            raise BinposeError(
                "A self-training is under way; expected one at a time; wait for its result, or cancel it.", Reason.BUSY
            )
        try:
            self._paused.clear()
            job = make()
            self._progress = TrainingProgress("start")

            def follow(progress: TrainingProgress) -> None:
                self._progress = progress
                on_progress(progress)

            def stop() -> Stop | None:
                return Stop.CANCEL if is_cancelled() else Stop.PAUSE if self._paused.is_set() else None

            return self._confirmed(TrainingProcess(job, follow, stop)())
        finally:
            self._progress = None
            self._busy.release()

    def pause(self) -> None:
        """End the run that is under way; the same job resumes it."""
        self._paused.set()

    def _confirmed(self, outcome: TrainingOutcome) -> TrainingOutcome:
        """The outcome after the running nodes have taken a promoted model, or it was taken back."""
        if not outcome.promoted or not (problem := self.confirm(outcome.version)):
            return outcome
        return replace(outcome, promoted=False, message=problem)
