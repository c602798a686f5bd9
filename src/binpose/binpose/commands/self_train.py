"""`binpose self-train`: improve a model on recordings that nobody labelled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.table import Table
from rich.text import Text

from binpose.commands.command import Command, compiling, console, described, waiting
from binpose_core.base.errors import BinposeError

if TYPE_CHECKING:
    from binpose_self_training.config import SelfTrainingConfig
    from binpose_self_training.recorded_frames import RecordedFrames, Recording
    from binpose_self_training.records import RoundRecord
    from binpose_self_training.rounds import TruthCheck
    from binpose_self_training.self_training import SelfTraining, SelfTrainingResult


@described
@dataclass(frozen=True, kw_only=True)
class SelfTrain(Command):
    """Train a model further on recordings without labels, and use the result if it is proven better.

    The model labels the recordings itself; only poses with enough evidence become labels. A student learns from them
    and becomes the next teacher, for some rounds. The last student replaces the model in use only if the gate finds it
    better on frames that no student has learnt from. Call the same command again to resume an interrupted run.

    recordings: Bags, BOP data sets or folders of images, as for `binpose estimate`.
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

    def run(self) -> int:
        """Train, compare and report."""
        from binpose_core.base.config_tree import settings_yaml
        from binpose_core.base.files import write_text

        config = self.settings()
        if self.write_config is not None:
            write_text(self.write_config, settings_yaml(config, TITLE))
            console.print(f"Settings in {self.write_config}; use them with --config {self.write_config}.")
            return 0
        try:
            machine, result = self._trained(config)
        except KeyboardInterrupt:
            console.print(f"Interrupted. The run is in {self.directory}; the same command resumes it.")
            return 130
        for note in result.frames.notes:
            console.print(note, style="yellow")
        console.print(rounds_table(result.records))
        if not result.has_candidate:
            console.print(
                f"No student was trained: {result.records[-1].ended}. The model in use stays.", style="yellow"
            )
            return 0
        return self._decide(machine, result)

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

    def _trained(self, config: "SelfTrainingConfig") -> "tuple[SelfTraining, SelfTrainingResult]":
        from binpose.self_training_progress import self_training_progress
        from binpose_core.base.threads import available_cpus
        from binpose_pipeline.bundle import load_bundle
        from binpose_pipeline.kernels import compile_kernels
        from binpose_self_training.self_training import SelfTraining

        with waiting("Opening the recordings ..."):
            recordings, bundle = self._recordings(), load_bundle(self.model, self.device)
        with compiling():
            compile_kernels(bundle.pipeline, bundle.objects)

        def truth(frames: "RecordedFrames") -> "TruthCheck | None":
            return self._truth(frames, recordings, bundle.objects)

        with self_training_progress(console) as report:
            machine = SelfTraining(
                self.model, self.directory, config, self.workers or available_cpus(), self.device, report, truth,
                self.tensorboard,
            )  # fmt: skip
            return machine, machine(recordings)

    def _recordings(self) -> "list[Recording]":
        from binpose_recording.inputs import open_inputs
        from binpose_self_training.recorded_frames import Recording

        if not self.recordings:
            raise BinposeError(
                "No recording was named; expected at least one bag, BOP data set or folder of images; name it after "
                "self-train."
            )
        return [Recording(path, open_inputs(path, self.split).frames) for path in self.recordings]

    def _truth(self, frames: "RecordedFrames", recordings: "Sequence[Recording]", objects: Any) -> "TruthCheck | None":
        from binpose_recording.inputs import open_inputs
        from binpose_self_training.known_truth import KnownTruth, truth_of, truths_of

        if self.evaluate is None:
            return None
        sources = open_inputs(self.evaluate).frames
        tests = [(source, truth) for source in sources if (truth := truth_of(source, objects)) is not None]
        if not tests:
            raise BinposeError(
                f"{self.evaluate} has no poses of {', '.join(objects)}; expected a BOP data set with scene_gt.json; "
                "leave out --evaluate, or name another."
            )
        return KnownTruth(truths_of(frames, recordings, objects), tests)

    def _write_report(self, result: "SelfTrainingResult") -> None:
        from binpose.self_training_report import self_training_page
        from binpose_core.base.files import write_text
        from binpose_core.frames.filters import PoseFilter

        path = self.directory / "self_training.html"
        with waiting("Writing the report ..."):
            write_text(path, self_training_page(result, self.directory, PoseFilter.threshold))
        console.print(f"Report: {path}")

    def _decide(self, machine: "SelfTraining", result: "SelfTrainingResult") -> int:
        """Print the verdict, and use the candidate if the gate promoted it."""
        verdict = result.verdict
        assert verdict is not None
        promoted = verdict.promoted and self.promote
        console.print(f"Gate: {verdict.decision.value}", style="bold green" if verdict.promoted else "bold yellow")
        for reason in (*verdict.reasons, *verdict.notes):
            console.print(reason)
        if promoted:
            machine.promote(result)
        machine.finish()
        short = result.candidate.version[:12]
        console.print(
            f"Model {short} is in use in {self.model}." if promoted else f"Candidate {short}; the model in use stays."
        )
        console.print("Next:", Text(f"binpose models {self.model}", "bold"))
        return 0


TITLE = "Settings of a self-training, for `binpose self-train --config`. Names that are left out have their defaults."


def rounds_table(records: "Sequence[RoundRecord]") -> Table:
    """A row per round: what its teacher reported, how much was accepted, and where known how right it is."""
    table = Table()
    for name in ("round", "teacher", "poses", "labels", "unexplained", "label precision", "recall", "precision"):
        table.add_column(name, justify="left" if name == "teacher" else "right")
    for record in records:
        labels, test = record.measured.get("labels", {}), record.measured.get("test", {}).get("all", {})
        table.add_row(
            str(record.number), record.teacher[:12], str(record.poses), str(record.labels),
            _percent(record.unexplained), _percent(labels.get("precision")), _percent(test.get("recall")),
            _percent(test.get("precision")),
        )  # fmt: skip
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None or value != value else f"{100 * value:.1f} %"
