"""The rounds of a self-training: teacher -> pseudo labels -> student, which is the next teacher (paper 002, 3.4)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from binpose_core.base.files import read_json, write_json
from binpose_core.base.stopwatch import Stopwatch
from binpose_core.frames.types import LabelledView, PoseEstimate
from binpose_core.learning.hooks import Hook, StepReport
from binpose_core.learning.model_store import ModelStore
from binpose_pipeline.bundle import PipelineBundle, load_bundle, save_bundle
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_self_training.bin_teacher import TaughtFrame
from binpose_self_training.config import SelfTrainingConfig
from binpose_self_training.recorded_frames import RecordedFrames
from binpose_self_training.records import RoundRecord, evidence_entries, round_record
from binpose_self_training.selection.balance import view_weights
from binpose_self_training.selection.partial_labels import partial_labels
from binpose_self_training.selection.pose_crops import FACES
from binpose_self_training.selection.selector import LabelSelection, SelectionConfig, select_labels
from binpose_self_training.stage_names import stage_of_round
from binpose_self_training.student import mixed_views, train_student
from binpose_self_training.teacher import Teacher, Track
from binpose_simulation.view_store import ViewStore

TEACHING, SELECTION = "teaching", "selection"
MOSTLY = 0.5
"""Unexplained fraction of the bins' content above which other parts may lie there."""

Report = Callable[[str, float, str], object]
"""Takes a stage, the fraction of it that is done, and a message."""
OnRecord = Callable[[RoundRecord], object]
RoundHooks = Callable[[int, str], Sequence[Hook]]
"""Further hooks of the training loops, by round and stage."""


class Teach(Protocol):
    """Makes poses with evidence of recorded frames, as `Teacher` does."""

    def __call__(self, frames: RecordedFrames, track: Track = iter) -> list[TaughtFrame]:
        """What the teacher makes of each frame."""
        ...


class TruthCheck(Protocol):
    """Measures a teacher and its pseudo labels where the truth is known; nothing that learns has access to it."""

    def __call__(
        self, teacher: PipelineBundle, taught: Sequence[TaughtFrame], selection: LabelSelection
    ) -> Mapping[str, Any]:
        """Figures as plain data."""
        ...


@dataclass(frozen=True, eq=False)
class Rounds:
    """The rounds of one run.

    store: folder of the model store, where the students are saved as candidates.
    directory: of the run. config: of the self-training. frames: recorded ones.
    replayed: gives the views that each student learns too; called when a student is trained.
    header: entries for the students' headers, for example digests of the data.
    report: called with the progress. truth: measures each teacher. device: where the networks are trained.
    hooks: further hooks of a round's training loops, by round and stage.
    on_record: called with the record of a round when its labels are selected, and when it is complete.
    teach: makes a teacher of a model. learn: makes a student of a teacher.
    """

    store: Path
    directory: Path
    config: SelfTrainingConfig
    frames: RecordedFrames
    replayed: Callable[[], Sequence[LabelledView]]
    header: Mapping[str, Any] = field(default_factory=dict)
    report: Report = lambda stage, fraction, message: None
    truth: TruthCheck | None = None
    device: str = "cpu"
    hooks: RoundHooks = lambda number, stage: ()
    on_record: OnRecord = lambda record: None
    teach: Callable[[PipelineBundle, SelectionConfig], Teach] = Teacher
    learn: Callable[..., PipelineBundle] = train_student

    def __call__(self, champion: PipelineBundle) -> tuple[PipelineBundle, list[RoundRecord]]:
        """The last student, or the champion where no student was trained, and the records of all rounds.

        Finished rounds of an interrupted run are not repeated.

        Args:
            champion: the first teacher.
        """
        teacher, records = champion, self.finished()
        for record in records:
            teacher = self._loaded(record.student) if record.student else teacher
        while len(records) < self.config.rounds and not (records and records[-1].ended):
            record, student = self._round(len(records) + 1, teacher, records)
            records.append(record)
            teacher = student or teacher
        return teacher, records

    def finished(self) -> list[RoundRecord]:
        """The records of the rounds that are complete."""
        files = [self._folder(number) / "round.json" for number in range(1, self.config.rounds + 1)]
        done: list[RoundRecord] = []
        for file in files:
            if not file.is_file():
                break
            done.append(RoundRecord.from_json(read_json(file)))
        return done

    def labels(self, number: int) -> ViewStore:
        """The pseudo-labelled views of a round."""
        return ViewStore(self._folder(number) / "views")

    def _round(
        self, number: int, teacher: PipelineBundle, before: Sequence[RoundRecord]
    ) -> tuple[RoundRecord, PipelineBundle | None]:
        folder, watch = self._folder(number), Stopwatch()
        selected = folder / "selected.json"
        if selected.is_file():  # an interrupted run got as far as the student
            record = RoundRecord.from_json(read_json(selected))
        else:
            record = self._selected(number, teacher, watch)
            write_json(selected, record.to_json())
        self.on_record(record)
        ended = self._why_ended(record, before)
        if ended:
            return self._finish(replace(record, ended=ended)), None
        student = watch.around("student", self._student)(number, teacher, record)
        seconds = {**record.seconds, **watch.seconds}
        return self._finish(replace(record, student=student.version, seconds=seconds)), student

    def _selected(self, number: int, teacher: PipelineBundle, watch: Stopwatch) -> RoundRecord:
        """Let the teacher look at all frames, select, and store the labelled views."""
        stage = stage_of_round(number, TEACHING)
        machine = self.teach(teacher, self.config.selection)
        taught = watch.around(TEACHING, machine)(self.frames, lambda items: self._tracked(items, stage))
        selection = watch.around(SELECTION, select_labels)([frame.evidence for frame in taught], self.config.selection)
        views = self.labels(number)
        for view in pseudo_labelled_views(self.frames, taught, selection, teacher, self.config, start=len(views)):
            views.append(view)
        write_json(self._folder(number) / "evidence.json", evidence_entries(taught, selection), indent=None)
        record = round_record(number, teacher.version, taught, selection, self.config.selection.score)
        measured = self.truth(teacher, taught, selection) if self.truth is not None else {}
        return replace(record, seconds=dict(watch.seconds), measured=measured)

    def _why_ended(self, record: RoundRecord, before: Sequence[RoundRecord]) -> str:
        """Why no further student is trained; empty where one is."""
        if record.labels < self.config.fewest_labels:
            few = f"only {record.labels} pseudo labels in {record.frames} frames; expected at least"
            return f"{few} {self.config.fewest_labels}{_suspicion(record)}"
        if before and record.labels <= (1.0 + self.config.least_growth) * before[-1].labels:
            return f"the pseudo labels no longer grow: {before[-1].labels}, then {record.labels}"
        return ""

    def _student(self, number: int, teacher: PipelineBundle, record: RoundRecord) -> PipelineBundle:
        config = self.config
        views = mixed_views(self.labels(number), self.replayed(), config.replay.share)
        folder = self._folder(number)

        def hooks(stage: str) -> list[Hook]:
            name = stage_of_round(number, stage)

            def on_step(fraction: float, losses: Mapping[str, float]) -> None:
                self.report(name, fraction, ", ".join(f"{key} {value:.3f}" for key, value in losses.items()))

            return [StepReport(on_step), *self.hooks(number, stage)]

        trained = self.learn(teacher, views, config.student, config.seed + number, folder, hooks, self.device)
        # With the bins that the teacher was trained on, which later replays simulate.
        training = ModelStore(self.store).header(teacher.version).get("training", {})
        own = {"round": number, "labels": record.labels, **self.header}
        header = {"self_training": own, "training": training}
        version = save_bundle(
            replace(trained, metrics={}), self.store, parent=teacher.version, header=header, half=True, promote=False
        )
        return self._loaded(version)

    def _loaded(self, version: str) -> PipelineBundle:
        return load_bundle(self.store, self.device, version)

    def _finish(self, record: RoundRecord) -> RoundRecord:
        write_json(self._folder(record.number) / "round.json", record.to_json())
        self.on_record(record)
        return record

    def _folder(self, number: int) -> Path:
        return self.directory / f"round_{number}"

    def _tracked(self, items: Sequence[int], stage: str) -> Iterator[int]:
        for number, item in enumerate(items):
            yield item
            self.report(stage, (number + 1) / len(items), f"{number + 1} of {len(items)} frames")


def _suspicion(record: RoundRecord) -> str:
    """A question where a model with few labels explains little of the bins."""
    if record.unexplained <= MOSTLY:
        return ""
    explained = f"{100 * (1 - record.unexplained):.0f} %"
    return f"; it explains {explained} of what is in the bins: are these the parts that the model knows?"


def pseudo_labelled_views(
    frames: RecordedFrames,
    taught: Sequence[TaughtFrame],
    selection: LabelSelection,
    teacher: PipelineBundle,
    config: SelfTrainingConfig,
    start: int = 0,
) -> Iterator[LabelledView]:
    """The frames with their pseudo labels, in order, from the frame `start` on."""
    accepted: list[list[PoseEstimate]] = []
    doubtful: list[list[PoseEstimate]] = []
    for index, frame in enumerate(taught):
        marks = selection.accepted(index)
        accepted.append([pose for pose, mark in zip(frame.poses, marks, strict=True) if mark])
        doubtful.append([pose for pose, mark in zip(frame.poses, marks, strict=True) if not mark])
    weights = view_weights(accepted) if config.balanced else [None] * len(accepted)
    renderer = PartRenderer(teacher.objects, (FACES,))
    for index in range(start, len(taught)):
        yield partial_labels(
            frames.store[index].frame,
            accepted[index],
            doubtful[index],
            taught[index].detections,
            renderer,
            weights[index],
            config.background,
        )
