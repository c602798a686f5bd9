"""A whole self-training: recordings -> frames -> rounds -> gate -> the model in use."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from binpose_core.base.config_tree import plain
from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, remove_leftovers_below, write_json
from binpose_core.base.workers import Workers
from binpose_core.frames.types import LabelledView
from binpose_core.learning.hooks import Hook
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_core.learning.store_records import self_training_lock
from binpose_core.learning.tensorboard import TensorBoard
from binpose_estimator.estimator import PoseEstimator
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_self_training.anchors import frozen_anchors
from binpose_self_training.camera_check import too_coarse
from binpose_self_training.config import SelfTrainingConfig
from binpose_self_training.gate.gate import Gate
from binpose_self_training.gate.verdict import GateVerdict
from binpose_self_training.recorded_frames import NamedFrames, RecordedFrames, collect_frames
from binpose_self_training.records import RoundRecord
from binpose_self_training.replay import FOLDER, keep_for_replay, scene_of, simulated_replay
from binpose_self_training.rounds import OnRecord, Report, RoundHooks, Rounds, TruthCheck
from binpose_self_training.run_folders import mark_begun, mark_finished
from binpose_self_training.student import ChosenViews, joined_views
from binpose_simulation.scene import SceneConfig
from binpose_simulation.view_store import ViewStore

SHOWN = 8
"""Frames from which the size of a pixel is known."""
Truth = Callable[[RecordedFrames], TruthCheck | None]
"""Makes the measurement on known poses, once it is known which frames are learnt from."""


@dataclass(frozen=True, eq=False)
class SelfTrainingResult:
    """What a self-training ended with.

    champion: the model that was in use when it began. candidate: the last student; the champion where there is none.
    records: of the rounds. frames, held_out: that were learnt from, and that were not.
    """

    champion: PipelineBundle
    candidate: PipelineBundle
    records: Sequence[RoundRecord]
    frames: RecordedFrames
    held_out: RecordedFrames
    verdict: GateVerdict | None = None

    @property
    def has_candidate(self) -> bool:
        """Whether any student was trained."""
        return self.candidate.version != self.champion.version


@dataclass(frozen=True, eq=False)
class SelfTraining:
    """The settings of one run.

    store: folder of the model store; its model in use is the first teacher, and students are saved in it.
    directory: of the run: frames, labels and checkpoints. An interrupted run resumes from it.
    config: all settings.
    workers: who simulates, or a number of processes.
    device: where the networks are trained.
    report: called with the progress.
    truth: makes a measurement on known poses, of which nothing is learnt.
    tensorboard: folder of event files, or None.
    rounds: makes the rounds; `Rounds` unless a test gives another teacher.
    hooks: further hooks of the training loops. on_record: called with the record of each round.
    """

    store: Path
    directory: Path
    config: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    workers: Workers | int = 1
    device: str = "cpu"
    report: Report = lambda stage, fraction, message: None
    truth: Truth = lambda frames: None
    tensorboard: Path | None = None
    rounds: Callable[..., Rounds] = Rounds
    hooks: RoundHooks = lambda number, stage: ()
    on_record: OnRecord = lambda record: None

    def __call__(self, recordings: Sequence[NamedFrames]) -> SelfTrainingResult:
        """Run the rounds and the gate; the model in use stays what it was.

        Raises:
            BinposeError: without a usable model or frame, for a run folder of another self-training, a store in which
                another one runs, or a full disk.
        """
        if not any(self.store.glob("weights-*")):
            raise BinposeError(
                f"There is no model in the folder {self.store}; expected one of your own, since students are saved in "
                f"it; train one, or copy a shipped one with `binpose calibrate {self.store.name} --out models/cell`."
            )
        with self_training_lock(self.store):
            return self._run(recordings)

    def _run(self, recordings: Sequence[NamedFrames]) -> SelfTrainingResult:
        champion = self._champion()
        self._check_directory(champion, recordings)
        mark_begun(self.directory)
        for folder in (self.store, self.directory):  # what killed runs left
            remove_leftovers_below(folder)
        frames, held_out = collect_frames(recordings, self.config.frames, self.directory)
        frames = self._with_camera_notes(frames, champion)
        header = {
            "data": frames.digest,
            "recordings": [str(r.path) for r in recordings],
            "settings": plain(self.config),
        }
        rounds = self.rounds(
            self.store, self.directory, self.config, frames, lambda: self._replayed(champion), header, self.report,
            self.truth(frames), self.device, self._hooks, self.on_record,
        )  # fmt: skip
        candidate, records = rounds(champion)
        result = SelfTrainingResult(champion, candidate, records, frames, held_out)
        if not result.has_candidate:
            return result
        return replace(result, verdict=self._decided(champion, candidate, held_out))

    def promote(self, result: SelfTrainingResult) -> None:
        """Use the candidate, and keep labelled views of this run for the replay of later ones.

        Raises:
            BinposeError: if the gate did not promote it, or the disk is full.
        """
        if result.verdict is None or not result.verdict.promoted:
            raise BinposeError(
                f"The gate did not promote {result.candidate.version[:SHORT]}; expected a promoted candidate; choose "
                "another, or train on more frames."
            )
        ModelStore(self.store).promote(result.candidate.version)
        last = max(record.number for record in result.records if record.student)
        views = ViewStore(self.directory / f"round_{last}" / "views")
        keep_for_replay(self.store, views, self.config.replay.recorded, self.config.seed)

    def finish(self, result: SelfTrainingResult) -> None:
        """End the run; where a student was compared, delete what only an interrupted run needs.

        These are replayed and labelled views, and checkpoints.
        """
        if result.has_candidate:
            for folder in (self.directory / "replay", *self.directory.glob("round_*/views")):
                shutil.rmtree(folder, ignore_errors=True)
            for file in self.directory.glob("round_*/*.safetensors"):
                file.unlink()
        mark_finished(self.directory)

    def _decided(self, champion: PipelineBundle, candidate: PipelineBundle, held_out: RecordedFrames) -> GateVerdict:
        """The verdict of the gate, which is kept with the candidate in the store."""
        store, file = ModelStore(self.store), self.directory / "verdict.json"
        if file.is_file():  # of this run, which is repeated
            return GateVerdict.from_json(read_json(file))
        store.nominate(candidate.version)
        verdict = self._verdict(champion, candidate, held_out)
        store.record_verdict(candidate.version, verdict.to_json())
        write_json(file, verdict.to_json())
        return verdict

    def _verdict(self, champion: PipelineBundle, candidate: PipelineBundle, held_out: RecordedFrames) -> GateVerdict:
        wanted = self.config.anchors * len(champion.objects)
        anchors = frozen_anchors(
            self.store, champion.objects, self._scene(champion), self.workers, wanted,
            lambda done: self.report("anchors", done / max(wanted, 1), f"{done} of {wanted} simulated views"),
        )  # fmt: skip

        def progress(step: str, done: int, total: int) -> None:
            self.report(f"gate, {step}", done / total, f"{done} of {total}")

        return Gate(self.config.gate, progress=progress)(
            champion, candidate, held_out.sources, anchors, held_out.outcomes_by_source, views=held_out.views
        )

    def _with_camera_notes(self, frames: RecordedFrames, champion: PipelineBundle) -> RecordedFrames:
        """The frames with a sentence where their camera is too coarse for the model."""
        if not isinstance(champion.estimator, PoseEstimator):
            return frames
        shown = [source.read() for source in frames.sources[:: max(1, len(frames) // SHOWN)]]
        return replace(frames, notes=(*frames.notes, *too_coarse(shown, champion.estimator.config.gsd_m)))

    def _scene(self, champion: PipelineBundle) -> SceneConfig:
        """The bins that the model was trained on."""
        estimator = champion.estimator
        assert isinstance(estimator, PoseEstimator)
        header: Mapping[str, Any] = ModelStore(self.store).header(champion.version)
        return scene_of(header, champion.objects, estimator.config.gsd_m)

    def _champion(self) -> PipelineBundle:
        """The model that an interrupted run began with, or the one in use."""
        file = self.directory / "run.json"
        version = read_json(file)["champion"] if file.is_file() else None
        return load_bundle(self.store, self.device, version)

    def _check_directory(self, champion: PipelineBundle, recordings: Sequence[NamedFrames]) -> None:
        """Make the run's folder, or make sure that it is of the same run."""
        file = self.directory / "run.json"
        settings = {"recordings": [str(r.path) for r in recordings], "settings": plain(self.config)}
        if not file.is_file():
            write_json(file, {"champion": champion.version, **settings})
            return
        known = read_json(file)
        changed = [name for name, value in settings.items() if known.get(name) != _as_read(value)]
        if changed:
            raise BinposeError(
                f"{self.directory} holds a self-training with other {' and '.join(changed)}; expected the same ones to "
                "resume it; repeat its command, or choose another folder."
            )

    def _replayed(self, champion: PipelineBundle) -> Sequence[LabelledView]:
        """Simulated views and labelled ones of earlier self-trainings."""
        config, wanted = self.config.replay, self.config.replay.simulated
        old = ViewStore(self.store / FOLDER)
        recorded = ChosenViews([(old, index) for index in range(min(len(old), config.recorded))])
        store = ViewStore(self.directory / "replay")
        if wanted:
            simulated_replay(
                store, champion.objects, self._scene(champion), self.config.seed, self.workers, wanted,
                lambda done: self.report("replay", done / wanted, f"{done} of {wanted} simulated views"),
            )  # fmt: skip
        return joined_views(store, recorded)

    def _hooks(self, number: int, stage: str) -> list[Hook]:
        further = list(self.hooks(number, stage))
        if self.tensorboard is None:
            return further
        return [*further, TensorBoard(self.tensorboard / f"round_{number}" / stage)]


def _as_read(value: Any) -> Any:
    """Plain data as it is after it was written and read."""
    return json.loads(json.dumps(value))
