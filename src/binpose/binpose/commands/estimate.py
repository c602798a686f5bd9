"""`binpose estimate`: estimate the poses of parts in recorded frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import tyro

from binpose.commands.command import Command, compiling, console, errors, split_names, tracked, waiting
from binpose_core.base.errors import BinposeError
from binpose_core.frames.filters import DetectionFilter, PoseFilter
from binpose_pipeline.bundle import UNCALIBRATED, PipelineBundle, load_bundle
from binpose_pipeline.scene.second_look import LookConfig

if TYPE_CHECKING:
    from rich.table import Table

    from binpose.explain import FrameExplainer
    from binpose.run_report import RunGallery
    from binpose_core.datasets.folder import FrameSource
    from binpose_core.datasets.view_sources import ViewGroup
    from binpose_core.frames.rgbd_frame import RgbdFrame
    from binpose_pipeline.pipeline import Pipeline
    from binpose_pipeline.runs import FrameOutcome, RunDirectory, RunRecord
    from binpose_refinement.config import Method

    Judge = Callable[[FrameSource, RgbdFrame, FrameOutcome], list[str]]
    Page = Callable[[Sequence[FrameOutcome], RunGallery], str]


@dataclass(frozen=True, kw_only=True)
class Estimate(Command):
    """Estimate the poses of parts in a BOP data set, a plain folder of frames or a ROS 2 bag.

    Writes results.csv (BOP format) and report.html, and for each frame poses.json and overlay.png. With --explain, also
    writes explain/<number>_<part>.png for each frame, with links in the report. Where frames of one bin have camera
    poses, they are used together, and scenes/<bin>/poses.json and overlay.png are written for each bin.

    If a frame cannot be read, the reason is printed and the other frames are processed; the exit status is then 1.

    Example: binpose estimate recordings/ --split real --model models/wrs --out runs/wrs
    """

    path: tyro.conf.Positional[Path]
    """BOP data set, folder with images and camera.json, or bag (MCAP or SQLite, folder or file; needs no ROS)."""
    model: Path
    """Folder of the model, or the name of a shipped model (demo); with @candidate or @VERSION for another version."""
    out: Path
    """Folder for the results."""
    split: str | None = None
    """Split of the BOP data set; only needed if there are several."""
    sensor: str | None = None
    """Sensor of the BOP data set, such as photoneo, where a scene has images of several. Several, such as
    cam1,cam2,cam3, are views of one bin; results.csv has the poses in the images of the first."""
    threshold: float = PoseFilter.threshold
    """Least score (probability to be right) of a reported part."""
    objects: str = ""
    """Report only these parts, separated by commas."""
    region: str = ""
    """Outline of the bin in pixels, "u,v u,v u,v"; parts outside are not searched; semicolons separate bins."""
    refiner: Literal["model", "icp", "render_and_compare", "network"] = "model"
    """Refinement method: as stored in the model, ICP, ICP and then render-and-compare (more accurate, slower), or ICP
    and then the model's refinement network (`binpose train --refinement-network`)."""
    track: Literal["no", "replace", "join"] = "no"
    """For frames in order: start from the last poses, instead of the networks' (replace) or besides them (join)."""
    looks: int = LookConfig.looks
    """Largest number of looks at a frame; each later one searches only what is left unexplained."""
    budget_ms: float = LookConfig.budget_ms
    """Time per frame after which no further look begins; 0 = no limit. Results then depend on the machine's speed."""
    views: str = "all"
    """Frames of one bin with known camera poses: use all of them together (all), that many at a time (a number), or
    each alone (off)."""
    explain: bool = False
    """Write pictures of each part before and after refinement: observed, rendered and residual."""
    device: str = "cpu"
    """Device of the networks, and with the extra `gpu` of the refinement's rendering: cpu, cuda or cuda:<number>."""
    engine: Literal["torch", "onnxruntime"] = "torch"
    """What runs the pose network: torch, or ONNX Runtime on the CPU (extra `onnx`)."""
    color_topic: str = ""
    """Topic of the colour images in a bag; found automatically if there is one camera."""
    depth_topic: str = ""
    """Topic of the depth images in a bag, aligned to colour."""
    info_topic: str = ""
    """Topic of the camera info of the colour images in a bag."""

    world_frame: str = ""
    """Frame of a bag's transforms that rests with the bin, such as base_link; by default the root of the tree."""

    def run(self) -> int:
        """Open, load, estimate, report."""
        from binpose.explain import Explainer, FrameExplainer, recording
        from binpose_core.datasets.view_sources import group_views
        from binpose_core.frames.region import Region
        from binpose_pipeline.kernels import compile_kernels
        from binpose_pipeline.runs import RunDirectory, RunRecord
        from binpose_pipeline.tracking import TrackingConfig, TrackingPipeline
        from binpose_recording.bag_topics import CameraTopics
        from binpose_recording.inputs import open_inputs

        views = self._views()
        chosen = PoseFilter(self.threshold, split_names(self.objects, "--objects"))
        detections, look = DetectionFilter(region=Region.from_text(self.region)), LookConfig(self.looks, self.budget_ms)
        topics = CameraTopics(self.color_topic, self.depth_topic, self.info_topic)
        with waiting(f"Opening {self.path} ..."):
            inputs = open_inputs(self.path, self.split, topics, self.sensor, self.world_frame)
        with waiting(f"Loading {self.model} ..."):
            bundle = with_refiner(load_bundle(self.model, self.device, engine=self.engine), self.refiner)
        chosen.check_objects(tuple(bundle.objects))
        numbers = {name: model.bop_id for name, model in chosen.wanted(bundle.objects).items()}
        record = RunRecord(
            str(self.path),
            self.split,
            str(self.model),
            bundle.version,
            numbers,
            self.threshold,
            bundle.calibrated,
            diameters_m={name: bundle.objects[name].diameter_m for name in numbers},
            notes=inputs.notes,
        )
        if not bundle.calibrated:
            console.print(UNCALIBRATED, style="yellow")
        run, explain = RunDirectory(self.out), None
        with compiling():
            compile_kernels(bundle.pipeline, bundle.objects)
        if self.explain:
            remembering = recording(bundle.refiner)
            bundle = bundle.using(refiner=remembering)
            explain = FrameExplainer(Explainer(bundle.objects), remembering, run)
        pipeline = replace(bundle.pipeline, chosen=detections, look=look)
        if self.track != "no":
            tracking = TrackingConfig(self.track, keep=self.threshold)
            pipeline = TrackingPipeline(**vars(pipeline), objects=bundle.objects, config=tracking)
        groups = None if views == 1 else group_views(inputs.frames, views)
        outcomes = run_estimation(
            bundle, inputs.frames, chosen, record, run, explain=explain, pipeline=pipeline, groups=groups
        )
        print_summary(outcomes, record.notes)
        failed = sum(outcome.error is not None for outcome in outcomes)
        console.print(f"{len(outcomes) - failed} of {len(outcomes)} frames done. Report: {self.out / 'report.html'}")
        return 1 if failed else 0

    def _views(self) -> int | None:
        """How many views are used together at most, None for all of a bin."""
        views = parsed_views(self.views)
        if views != 1 and (self.track != "no" or self.explain):
            option = "--explain" if self.explain else f"--track {self.track}"
            if self.views != "all":
                raise BinposeError(
                    f"--views {self.views} with {option}, which looks at each frame alone; leave one out."
                )
            return 1
        return views


def parsed_views(text: str) -> int | None:
    """The number of views that are used together at most: None for all of a bin, 1 for each alone.

    Raises:
        BinposeError: for anything but all, off or a number of at least 1.
    """
    if text in ("all", "off"):
        return None if text == "all" else 1
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise BinposeError(f"--views is {text!r}; expected all, off or a number of views of at least 1, such as --views 3.")


def with_refiner(bundle: PipelineBundle, method: str) -> PipelineBundle:
    """The model with another way of refining; `model` leaves its own.

    Raises:
        BinposeError: for the network where the model has none.
    """
    from binpose_refinement.refiner import IcpRefiner

    if method == "model" or not isinstance(bundle.refiner, IcpRefiner):
        return bundle
    return bundle.using(refiner=bundle.refiner.using(cast("Method", method)))


def run_estimation(
    bundle: PipelineBundle,
    sources: Sequence["FrameSource"],
    chosen: PoseFilter,
    record: "RunRecord",
    run: "RunDirectory",
    judge: "Judge | None" = None,
    page: "Page | None" = None,
    explain: "FrameExplainer | None" = None,
    pipeline: "Pipeline | None" = None,
    groups: Sequence["ViewGroup"] | None = None,
) -> list["FrameOutcome"]:
    """Process all frames and write the run; after Ctrl-C, the finished frames are written.

    Args:
        bundle: the model.
        sources: the frames, read one after the other.
        chosen: which poses are reported.
        record: the header of the run.
        run: where it is written.
        judge: called with each frame's source, frame and outcome; gives a line per pose for the 3D scene.
        page: makes the report of outcomes and gallery; by default `run_report`'s.
        explain: writes a frame's explanations and gives a figure that links them.
        pipeline: by default the model's; one that tracks has the same stages.
        groups: of the frames of one bin, which are estimated together; by default each frame is estimated alone.

    Raises:
        BinposeError: when the place cannot be written to, before the first frame, or the disk is full.
    """
    from binpose.run_report import RunGallery, draw_checked, run_report
    from binpose.scene_report import SceneWriter
    from binpose_core.base.files import write_text
    from binpose_core.drawing.overlays import OverlayDrawer
    from binpose_core.frames.image_files import encode_png
    from binpose_pipeline.estimation import estimate_frames
    from binpose_pipeline.scene.scene_estimator import SceneEstimator
    from binpose_pipeline.scene.scene_runs import estimate_groups

    drawer = OverlayDrawer(bundle.objects)
    gallery = RunGallery(drawer)
    outcomes: list[FrameOutcome] = []
    run.write_results(record, outcomes)
    pipeline, scenes = pipeline or bundle.pipeline, SceneWriter(run.root, drawer, gallery.figures.append)
    if groups is not None and any(len(group.sources) > 1 or group.notes for group in groups):
        sources = [source for group in groups for source in group.sources]
        estimator = SceneEstimator(bundle.objects, pipeline)
        results = estimate_groups(estimator, pipeline, groups, chosen, bundle.objects, scenes)
    else:
        results = estimate_frames(pipeline, sources, chosen, bundle.objects)
    estimates = zip(sources, results, strict=True)
    try:
        for source, (outcome, frame) in tracked(estimates, len(sources), "Estimating"):
            if outcome.error is not None or frame is None:
                errors.print(f"frame {outcome.name} skipped: {outcome.error}", markup=False)
            else:
                overlay = draw_checked(drawer, frame, outcome.poses)
                run.write_frame(outcome, encode_png(overlay))
                gallery.add(frame, outcome, overlay, judge(source, frame, outcome) if judge else ())
                if explain and outcome.poses:
                    gallery.figures.append(explain(frame, outcome))
            outcomes.append(outcome)
    finally:
        run.write_results(record, outcomes)
        scenes.finish()
        html = page(outcomes, gallery) if page else run_report(record, outcomes, gallery)
        write_text(run.root / "report.html", html)
    return outcomes


def print_summary(outcomes: Sequence["FrameOutcome"], notes: Sequence[str] = ()) -> None:
    """Print the number of parts, the agreement with the depth, warnings, reasons for empty frames, and the times."""
    from binpose_pipeline.depth_check import check_depth
    from binpose_pipeline.run_checks import (
        agreement_sentence,
        counted,
        empty_sentences,
        notes_of,
        reported_poses,
        warnings,
    )

    done = [outcome for outcome in outcomes if outcome.error is None]
    poses = reported_poses(done)
    console.print(f"{counted(len(poses), 'part')} in {counted(len(done), 'frame')}", style="bold")
    check = check_depth(poses)
    if check.checked:
        console.print(agreement_sentence(check), style="bold yellow" if check.is_low else "green")
    for text in (*warnings(done), *empty_sentences(done), *notes_of(done, notes)):
        console.print(text, style="yellow")
    console.print(summary_table(outcomes))


def summary_table(outcomes: Sequence["FrameOutcome"]) -> "Table":
    """Stages and their times."""
    from rich.table import Table

    from binpose.run_report import time_rows

    table = Table()
    table.add_column("stage")
    table.add_column("median ms", justify="right")
    table.add_column("slowest ms", justify="right")
    for name, median, slowest in time_rows([outcome for outcome in outcomes if outcome.error is None]):
        table.add_row(name, f"{median:.0f}", f"{slowest:.0f}", style="bold" if name == "all" else "")
    return table
