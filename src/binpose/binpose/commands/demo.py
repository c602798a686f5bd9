"""`binpose demo`: the whole path on simulated bins, with shipped weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from binpose.commands.command import Command, console, preparing, progress_bar, waiting
from binpose.commands.estimate import print_summary, run_estimation
from binpose.commands.evaluate import evaluation_table
from binpose_core.evaluation.matching import HALF_VISIBLE, EvaluationConfig
from binpose_core.frames.filters import PoseFilter
from binpose_pipeline.bundle import PipelineBundle, load_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from binpose_core.parts.catalogue import ObjectModel
    from binpose_pipeline.evaluation import EvaluationResult
    from binpose_pipeline.runs import FrameOutcome
    from binpose_simulation.scene import SceneConfig

SPLIT = "sim"


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Simulate bins of parts made by code, find all parts and show how well that worked.

    Writes report.html, the frames as a BOP data set, results.csv, and poses.json and overlay.png per frame. Frames of
    another run are taken again where the same parts, settings and program made them; otherwise they are made anew.

    A frame that fails is reported and the others go on; the exit status is then 1.

    Example: binpose demo --seed 7
    """

    out: Path = Path("runs/demo")
    """Folder for the results."""
    frames: int = 6
    """Number of frames, two of each pile."""
    seed: int = 11
    """Seed of the bins, their light and the camera."""
    model: Path = Path("demo")
    """Model to be shown; its parts fill the bins."""

    def run(self) -> int:
        """Simulate, estimate, evaluate, report."""
        from binpose_simulation.export import check_count, export_bop

        check_count(self.frames)
        with waiting("Loading the model ..."):
            bundle = load_bundle(self.model)
        dataset, scene, objects = self.out / "dataset", demo_scene(), list(bundle.objects.values())
        _remove_other_frames(dataset, objects, scene)
        with progress_bar() as progress:
            task = progress.add_task("Simulating bins", total=self.frames)
            export_bop(
                dataset,
                objects,
                self.frames,
                scene,
                self.seed,
                SPLIT,
                on_view=lambda done, _: progress.update(task, completed=done, description="Simulating bins"),
                on_part=preparing(progress, task),
            )
        outcomes, result = show_demo(bundle, str(self.model), dataset, self.seed, self.frames, self.out)
        console.print(evaluation_table(result))
        console.print("Look at", Text(str(self.out / "report.html"), "bold"))
        return 1 if any(outcome.error is not None for outcome in outcomes) else 0


def _remove_other_frames(dataset: Path, objects: "Sequence[ObjectModel]", scene: "SceneConfig") -> None:
    """Delete the frames of an earlier demo with other parts, settings or code: they would be shown as these ones."""
    from binpose_simulation.export import changed_settings, export_settings, remove_export

    settings = export_settings(objects, scene)
    if any(changed_settings(path, settings) for path in (dataset / SPLIT).glob("*")):
        remove_export(dataset, SPLIT)


def demo_scene() -> "SceneConfig":
    """One full bin of several types, seen from a little aside in the light of a room."""
    from binpose_simulation.example_scene import example_scene

    return example_scene()


def show_demo(
    bundle: PipelineBundle, model: str, dataset: Path, seed: int, frames: int, out: Path
) -> "tuple[list[FrameOutcome], EvaluationResult]":
    """Estimate the first frames of a simulated scene, judge them against its truth and write the report."""
    from binpose.demo_report import demo_page
    from binpose_core.datasets.bop import BopDataset
    from binpose_core.datasets.folder import FrameSource
    from binpose_core.evaluation.matching import FrameTruth, ground_truths
    from binpose_core.frames.rgbd_frame import RgbdFrame
    from binpose_pipeline.evaluation import PoseEvaluation, frame_notes
    from binpose_pipeline.runs import RunDirectory, RunRecord

    sources = [frame for frame in BopDataset(dataset).frames(SPLIT) if frame.scene_id == seed][:frames]
    evaluation = PoseEvaluation(bundle.objects, EvaluationConfig(min_visible_fraction=HALF_VISIBLE))

    truths = {source.name: ground_truths(source) for source in sources}

    def judge(source: FrameSource, frame: RgbdFrame, outcome: "FrameOutcome") -> list[str]:
        poses = (*outcome.poses, *outcome.rejected)
        truth = FrameTruth(truths[source.name], camera=frame.camera)
        return frame_notes(evaluation.add(source.name, truth, poses, frame.camera, frame.depth_m))

    chosen = PoseFilter(threshold=evaluation.config.score_threshold)
    numbers = {name: part.bop_id for name, part in bundle.objects.items()}
    record = RunRecord(str(dataset), SPLIT, model, bundle.version, numbers, chosen.threshold)
    outcomes = run_estimation(
        bundle,
        sources,
        chosen,
        record,
        RunDirectory(out),
        judge,
        lambda outcomes, gallery: demo_page(record, outcomes, gallery, evaluation.result()),
    )
    print_summary(outcomes)
    return outcomes, evaluation.result()
