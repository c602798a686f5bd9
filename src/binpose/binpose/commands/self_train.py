"""`binpose self-train`: improve a model on unlabelled recordings."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from binpose.commands.command import Command, console, described
from binpose.commands.workers_option import opened_workers
from binpose_core.base.errors import BinposeError

if TYPE_CHECKING:
    from binpose.self_training_progress import Output
    from binpose_core.base.workers import Workers
    from binpose_core.datasets.folder import FrameSource
    from binpose_core.evaluation.matching import FrameTruth
    from binpose_core.parts.catalogue import ObjectModel
    from binpose_self_training.config import SelfTrainingConfig
    from binpose_self_training.recorded_frames import RecordedFrames
    from binpose_self_training.rounds import Rounds, TruthCheck
    from binpose_self_training.self_training import SelfTraining, SelfTrainingResult


@described
@dataclass(frozen=True, kw_only=True)
class SelfTrain(Command):
    """Train a model further on recordings without labels, and use the result if it is proven better.

    The model labels the recordings itself; only poses with enough evidence become labels. A student learns from them
    and becomes the next teacher, for some rounds. The last student replaces the model in use only if the gate finds it
    better on frames that no student has learnt from. Call the same command again to resume an interrupted run.

    recordings: Bags, folders of bags, BOP data sets or folders of images.
    model: Folder of the model; its model in use is the first teacher.
    out: Folder of the run: report, records, and what an interrupted run needs; default MODEL/self_training.
    rounds: Largest number of rounds; default 5.
    frames: Largest number of frames to learn from; default 150.
    split: Split of BOP data sets with several.
    evaluate: BOP data set with poses, on which the report shows recall and precision of each teacher. Nothing is
        learnt from it.
    promote: Use the last student if the gate finds it better; without it, it stays a candidate.
    config: YAML file with settings; options of the command line win over it.
    assignments: Single settings by their names in the file, such as selection.score=0.6.
    write_config: Write all settings in effect to this YAML file, and do not train.
    tensorboard: Folder for TensorBoard's event files (extra `tensorboard`).
    device: Where the networks are trained: cpu, cuda or cuda:<number>.
    seed: Seed of everything random; default 0.
    workers: Processes that simulate bins; 0 = one per CPU.
    ray: Share simulation, labelling and training over a Ray cluster: auto, local or host:port (extra `ray`).
    json_lines: Write progress and result as one JSON object per line, for programs.
    parent: Process id of the program that started this command: the command ends with it.

    Example: binpose self-train bags/monday bags/tuesday --model models/cell
    """

    recordings: tyro.conf.Positional[tuple[Path, ...]]
    model: Path
    out: Path | None = None
    rounds: int | None = None
    frames: int | None = None
    split: str | None = None
    evaluate: Path | None = None
    promote: bool = True
    config: Path | None = None
    assignments: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...")] = ()
    write_config: Path | None = None
    tensorboard: Path | None = None
    device: str = "cpu"
    seed: int | None = None
    workers: int = 0
    ray: str | None = None
    json_lines: bool = False
    parent: int = 0

    def run(self) -> int:
        """Train, compare and report."""
        from binpose.json_lines import JsonLines
        from binpose.self_training_progress import TerminalOutput
        from binpose_core.base.config_tree import settings_yaml
        from binpose_core.base.files import write_text
        from binpose_core.base.processes import end_with_parent, interrupted_by_sigterm

        if self.write_config is not None:
            write_text(self.write_config, settings_yaml(self.settings(), TITLE))
            console.print(f"Settings in {self.write_config}; use them with --config {self.write_config}.")
            return 0
        output = JsonLines(sys.stdout) if self.json_lines else TerminalOutput(self.model)
        if self.parent:
            end_with_parent(self.parent)
        with interrupted_by_sigterm():
            return self._run(output)

    def _run(self, output: "Output") -> int:
        try:
            machine, result = self._trained(self.settings(), output)
            for note in result.frames.notes:
                output.note(note)
            with output.waiting("Writing the report"):
                self._write_report(result)
        except KeyboardInterrupt:
            output.interrupted(f"Interrupted. The run is in {self.directory}; the same command resumes it.")
            return 130
        except BinposeError as error:
            output.failed(error)
            raise
        self._decide(machine, result, output)
        return 0

    @property
    def report_path(self) -> Path:
        """The page with labels, changes and reasons."""
        return self.directory / "self_training.html"

    @property
    def directory(self) -> Path:
        """Folder of the run."""
        return self.out or self.model / "self_training"

    def settings(self) -> "SelfTrainingConfig":
        """The settings of the file, the options and the assignments.

        Raises:
            BinposeError: for an unknown setting or a wrong value.
        """
        from binpose_core.base.config_tree import assigned, merged, read_yaml, with_values
        from binpose_self_training.config import SelfTrainingConfig

        options: dict[str, Any] = {"rounds": self.rounds, "seed": self.seed}
        options = {name: value for name, value in options.items() if value is not None}
        if self.frames is not None:
            options["frames"] = {"frames": self.frames}
        values = merged(read_yaml(self.config) if self.config is not None else {}, options)
        return with_values(SelfTrainingConfig(), merged(values, assigned(self.assignments)))

    def _trained(self, config: "SelfTrainingConfig", output: "Output") -> "tuple[SelfTraining, SelfTrainingResult]":
        from binpose_pipeline.bundle import load_bundle, store_and_version
        from binpose_pipeline.kernels import compile_kernels
        from binpose_self_training.known_truth import KnownTruth, truths_of
        from binpose_self_training.recordings import open_recordings
        from binpose_self_training.self_training import SelfTraining

        if store_and_version(self.model)[1]:
            raise BinposeError(
                f"The model {self.model} is one version of a store; expected the store's folder, whose version in "
                "use is the first teacher; promote the version with `binpose models` to begin with it."
            )
        with output.waiting("Opening the recordings"):
            recordings, notes = open_recordings(self.recordings, self.split)
            bundle = load_bundle(self.model, self.device)
            tests = self._tests(bundle.objects)
        for note in notes:
            output.note(note)
        with output.compiling():
            compile_kernels(bundle.pipeline, bundle.objects)

        def truth(frames: "RecordedFrames") -> "TruthCheck":
            return KnownTruth(truths_of(frames, recordings, bundle.objects), tests)

        with opened_workers(self.ray, self.workers) as workers, output.progress() as report:
            machine = SelfTraining(
                self.model, self.directory, config, workers, self.device, report, truth, self.tensorboard,
                self._rounds(workers), output.hooks, output.record,
            )  # fmt: skip
            return machine, machine(recordings)

    def _rounds(self, workers: "Workers") -> "Callable[..., Rounds]":
        """Makes the rounds; a cluster also labels the frames and trains the students."""
        from binpose_self_training.rounds import Rounds
        from binpose_self_training.student import StudentByWorker
        from binpose_self_training.teacher import Teacher

        if self.ray is None:
            return Rounds
        return partial(Rounds, teach=partial(Teacher, workers=workers), learn=StudentByWorker(workers))

    def _tests(self, objects: "Mapping[str, ObjectModel]") -> "list[tuple[FrameSource, FrameTruth]]":
        """Labelled frames on which the teachers are measured."""
        from binpose_recording.inputs import open_inputs
        from binpose_self_training.known_truth import truth_of

        if self.evaluate is None:
            return []
        sources = open_inputs(self.evaluate).frames
        tests = [(source, truth) for source in sources if (truth := truth_of(source, objects)) is not None]
        if not tests:
            raise BinposeError(
                f"{self.evaluate} has no poses of {', '.join(objects)}; expected a BOP data set with scene_gt.json; "
                "leave out --evaluate, or name another."
            )
        return tests

    def _decide(self, machine: "SelfTraining", result: "SelfTrainingResult", output: "Output") -> None:
        """Use the candidate if the gate promoted it, and show the decision."""
        from binpose_core.base.processes import uninterrupted

        promoted = self.promote and result.verdict is not None and result.verdict.promoted
        with uninterrupted():  # the change and the line that reports it belong together
            try:
                if promoted:
                    machine.promote(result)
                machine.finish(result)
            except BinposeError as error:
                output.failed(error)
                raise
            output.result(result, promoted, self._message(result, promoted))

    def _write_report(self, result: "SelfTrainingResult") -> None:
        from binpose.self_training_report import self_training_page
        from binpose_core.base.files import write_text
        from binpose_core.frames.filters import PoseFilter

        write_text(self.report_path, self_training_page(result, self.directory, PoseFilter.threshold))

    def _message(self, result: "SelfTrainingResult", promoted: bool) -> str:
        verdict = result.verdict
        if verdict is None:
            return f"No student was trained: {result.records[-1].ended}. The model in use stays."
        short = result.candidate.version[:12]
        what = (
            f"Model {short} is in use in {self.model}." if promoted else f"Candidate {short}; the model in use stays."
        )
        return f"{what} Report: {self.report_path}"


TITLE = "Settings of a self-training, for `binpose self-train --config`. Names that are left out have their defaults."
