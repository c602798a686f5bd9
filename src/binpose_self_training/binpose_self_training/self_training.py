"""A whole self-training: recordings -> frames -> rounds -> gate -> the model in use."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from binpose_core.base.config_tree import plain
from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, write_bytes, write_json
from binpose_core.learning.hooks import Hook
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_core.learning.tensorboard import TensorBoard
from binpose_estimator.estimator import PoseEstimator
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_self_training.anchors import frozen_anchors
from binpose_self_training.config import SelfTrainingConfig
from binpose_self_training.gate.gate import Gate
from binpose_self_training.gate.verdict import Verdict
from binpose_self_training.recorded_frames import RecordedFrames, Recording, collect_frames
from binpose_self_training.recorded_outcomes import recorded_outcomes
from binpose_self_training.records import RoundRecord
from binpose_self_training.replay import FOLDER, keep_for_replay, scene_of, simulated_replay
from binpose_self_training.rounds import Report, Rounds, TruthCheck
from binpose_self_training.student import joined_views
from binpose_simulation.scene import SceneConfig
from binpose_simulation.view_store import ViewStore

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
    verdict: Verdict | None = None

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
    workers: processes that simulate.
    device: where the networks are trained.
    report: called with the progress.
    truth: makes a measurement on known poses, of which nothing is learnt.
    tensorboard: folder of event files, or None.
    rounds: makes the rounds; `Rounds` unless a test gives another teacher.
    """

    store: Path
    directory: Path
    config: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    workers: int = 1
    device: str = "cpu"
    report: Report = lambda stage, fraction, message: None
    truth: Truth = lambda frames: None
    tensorboard: Path | None = None
    rounds: Callable[..., Rounds] = Rounds

    def __call__(self, recordings: Sequence[Recording]) -> SelfTrainingResult:
        """Run the rounds and the gate; the model in use stays what it was.

        Raises:
            BinposeError: without a usable model or frame, for a run folder of another self-training, or a full disk.
        """
        champion = self._champion()
        self._check_directory(champion, recordings)
        frames, held_out = collect_frames(recordings, self.config.frames, self.directory)
        header = {
            "data": frames.digest,
            "recordings": [str(r.path) for r in recordings],
            "settings": plain(self.config),
        }
        rounds = self.rounds(
            self.store, self.directory, self.config, frames, self._replayed(champion), header, self.report,
            self.truth(frames), self.device, self._hooks,
        )  # fmt: skip
        candidate, records = rounds(champion)
        result = SelfTrainingResult(champion, candidate, records, frames, held_out)
        if not result.has_candidate:
            return result
        verdict = self._verdict(champion, candidate, held_out)
        write_json(self.directory / "verdict.json", verdict.to_json())
        return replace(result, verdict=verdict)

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

    def finish(self) -> None:
        """Delete what only an interrupted run needs: replayed and labelled views, and checkpoints."""
        for folder in (self.directory / "replay", *self.directory.glob("round_*/views")):
            shutil.rmtree(folder, ignore_errors=True)
        for file in self.directory.glob("round_*/*.safetensors"):
            file.unlink()

    def _verdict(self, champion: PipelineBundle, candidate: PipelineBundle, held_out: RecordedFrames) -> Verdict:
        wanted = self.config.anchors
        anchors = frozen_anchors(
            self.store, champion.objects, self._scene(champion), self.workers, wanted,
            lambda done: self.report("anchors", done / max(wanted, 1), f"{done} of {wanted} simulated views"),
        )  # fmt: skip

        def progress(step: str, done: int, total: int) -> None:
            self.report(f"gate, {step}", done / total, f"{done} of {total}")

        gate, outcomes = Gate(self.config.gate, progress=progress), recorded_outcomes(held_out)
        return gate(champion, candidate, held_out.sources, anchors, outcomes)

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

    def _check_directory(self, champion: PipelineBundle, recordings: Sequence[Recording]) -> None:
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

    def _replayed(self, champion: PipelineBundle) -> Sequence[Any]:
        """Simulated views and labelled ones of earlier self-trainings."""
        config, wanted = self.config.replay, self.config.replay.simulated
        old = ViewStore(self.store / FOLDER)
        recorded = old[: config.recorded]
        store = ViewStore(self.directory / "replay")
        if wanted:
            simulated_replay(
                store, champion.objects, self._scene(champion), self.config.seed, self.workers, wanted,
                lambda done: self.report("replay", done / wanted, f"{done} of {wanted} simulated views"),
            )  # fmt: skip
        return joined_views(store, recorded)

    def _hooks(self, number: int, stage: str) -> list[Hook]:
        if self.tensorboard is None:
            return []
        return [TensorBoard(self.tensorboard / f"round_{number}" / stage)]


def adopt_version(source: Path, target: Path, version: str) -> None:
    """Copy a version of a model store into another one, byte by byte, and use it there if nothing is in use yet.

    Raises:
        BinposeError: if the files cannot be written.
    """
    own = ModelStore(target)
    if version not in own.versions():
        for suffix in (".safetensors", ".json"):
            name = f"weights-{version[:SHORT]}{suffix}"
            write_bytes(target / name, (source / name).read_bytes())
    if own.current() is None:
        own.promote(version)


def _as_read(value: Any) -> Any:
    """Plain data as it is after it was written and read."""
    return json.loads(json.dumps(value))
