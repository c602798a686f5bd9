"""From CAD files to a model: simulate bins, train the networks on them, calibrate on bins they have not seen."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar, cast

import torch

from binpose_core.base.devices import check_device
from binpose_core.base.errors import BinposeError
from binpose_core.base.process_workers import ProcessWorkers
from binpose_core.base.workers import Workers
from binpose_core.frames.types import LabelledView
from binpose_core.learning.hooks import Hook
from binpose_core.learning.ranks import by_rank_zero
from binpose_core.learning.tensorboard import import_summary_writer
from binpose_core.learning.validation_curve import ValidationConfig, read_curve
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.stages import Segmenter
from binpose_detection.mask_rcnn import MaskRcnnConfig, import_torchvision
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig, train_mask_rcnn
from binpose_detection.network import SegmentationNetwork
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter
from binpose_detection.training import SegmentationTrainingConfig, train_segmenter
from binpose_estimator.distillation import distillation_objective
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import JointNetwork, Objective
from binpose_estimator.presets import find_preset
from binpose_estimator.training import train_estimator
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_pipeline.bundle import PipelineBundle, load_bundle, save_bundle
from binpose_refinement.refiner import IcpRefiner
from binpose_training.calibration import calibrated_bundle
from binpose_training.config import TrainConfig, fine_tuning
from binpose_training.config_file import write_config
from binpose_training.held_out_views import limited_track
from binpose_training.refinement_stage import trained_refinement_network
from binpose_training.training_run import SIMULATION, Report, Run, prepare_directory, simulate_training_views
from binpose_training.validation import Measure, add_validation_views, detection_quality, pose_quality, validation_hooks

StageConfig = TypeVar("StageConfig", SegmentationTrainingConfig, MaskRcnnTrainingConfig, PoseTrainingConfig)

Stage = TypeVar("Stage")

DETECTOR, POSE, REFINEMENT, CALIBRATION = "detector", "pose", "refinement", "calibration"
DETECTOR_CROPS_PER_VIEW, POSE_CROPS_PER_VIEW = 40, 125
"""Samples of the networks per view of a budget in views, about as in trainings by time."""
VALIDATION_TIME = 0.1
"""Fraction of the simulation's time in which the views of the validation are simulated."""
CONFIG_FILE = "training.yaml"
"""Beside the model: the settings of its training, for `binpose train --config`."""


def train(
    objects: Sequence[ObjectModel],
    out: Path,
    config: TrainConfig,
    resume: bool = False,
    progress: Report | None = None,
    start: PipelineBundle | None = None,
    device: str = "cpu",
    tensorboard: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    workers: Workers | None = None,
) -> str:
    """Train one model for all objects; returns its version in the model store.

    An interrupted run leaves its simulated views and the networks' checkpoints in `out/training`.

    Of several processes (see `learning.ranks`), the first simulates, calibrates and writes; all train the networks.

    Args:
        objects: the parts.
        out: the model store's folder.
        config: the budget and the stages, each with its settings.
        resume: continue what an interrupted run with the same objects and settings left there.
        progress: called with the progress of each stage and the time left.
        start: a model, of these parts or others, whose networks this one begins with; it becomes the parent.
        device: where detector and pose network are trained; a refinement network is on the processor, which draws.
        tensorboard: folder for event files of the training loops.
        clock: seconds that rise.
        workers: who simulates; by default as many processes as `config.workers` states.

    Raises:
        BinposeError: without objects; if an interrupted run is there and `resume` is not given, or it was another one;
            for a full disk; if the detector needs torchvision, or `tensorboard` its library, and it cannot be used; if
            `start` has other networks; if a stage without a budget has no network in `start`; for a device that is not
            there.
    """
    run = _init_run(objects, out, config, resume, progress, start, device, tensorboard, clock, workers)
    by_rank_zero(lambda: simulate_training_views(run))
    by_rank_zero(lambda: _simulate_validation_views(run))
    views, unseen = run.views, [*run.validation_views]
    segmenter = _trained_segmenter(run, views, unseen)
    estimator = _trained_estimator(run, views, unseen, segmenter)
    refiner = _trained_refiner(run, views)
    return by_rank_zero(lambda: _saved(run, _calibrated(run, segmenter, estimator, refiner), out))


def _saved(run: Run, bundle: PipelineBundle, out: Path) -> str:
    """The version of the bundle in the store; the run's folder is deleted."""
    steps = {f"{stage}_steps": run.steps(stage) for stage in (DETECTOR, POSE, REFINEMENT) if stage in run.config.stages}
    curves = {stage: [asdict(point) for point in read_curve(run.curve_file(stage))] for stage in (DETECTOR, POSE)}
    header = {"training": {**run.settings, "done": {"views": len(run.views), **steps}, "validation": curves}}
    version = save_bundle(bundle, out, parent=run.settings["start"], header=header, half=True)
    write_config(run.config, out / CONFIG_FILE)
    shutil.rmtree(run.directory)
    return version


def _init_run(
    objects: Sequence[ObjectModel],
    out: Path,
    config: TrainConfig,
    resume: bool,
    progress: Report | None,
    start: PipelineBundle | None,
    device: str,
    tensorboard: Path | None,
    clock: Callable[[], float],
    workers: Workers | None,
) -> Run:
    """The run, after everything that can be refused was: from here on it must be resumed or deleted."""
    if not objects or len({part.id for part in objects}) < len(objects):
        raise BinposeError(
            f"Training for the objects {', '.join(part.id for part in objects) or 'none'}; expected at least one, each "
            "once; name parts of the catalogue with --objects a,b."
        )
    check_device(device)
    if tensorboard is not None:
        import_summary_writer()
    if config.detector.enabled and config.detector.backend == "mask_rcnn":
        import_torchvision()
    parts = {part.id: part for part in objects}
    _check_left_out(config, start, tuple(parts))
    _check_method(config, start)
    _check_new_rows(config, start, set(parts))
    if start is not None:
        config = fine_tuning(config, start.segmenter, known=set(parts) <= set(start.objects))
    workers = workers or ProcessWorkers(config.workers)
    run = Run(parts, config, out / "training", start, progress or (lambda _: None), device, workers, tensorboard, clock)
    if "pose" in config.stages:
        _pose_objective(run)  # Teachers are refused now, and not after the simulation.
    by_rank_zero(lambda: prepare_directory(run, resume))
    return run


def _check_left_out(config: TrainConfig, start: PipelineBundle | None, names: tuple[str, ...]) -> None:
    """Refuse a training without a network that the start does not have for the same parts in the same order."""
    left_out = [name for name in (DETECTOR, POSE) if name not in config.stages]
    known = tuple(start.objects) if start is not None else ()
    if left_out and known != names:
        raise BinposeError(
            f"The stage {left_out[0]} has no budget, and the model to start from is for {', '.join(known) or 'none'}; "
            f"expected one for {', '.join(names)}; give the stage a fraction above 0."
        )


def _check_method(config: TrainConfig, start: PipelineBundle | None) -> None:
    """Refuse a refinement by a network that the model will not have."""
    known = start is not None and start.refiner.network is not None
    if config.calibration.refiner.method == "network" and not config.refinement.enabled and not known:
        raise BinposeError(
            "calibration.refiner.method is 'network', and no refinement network is trained; expected one; add "
            "--refinement-network, or take another method."
        )


def _check_new_rows(config: TrainConfig, start: PipelineBundle | None, names: set[str]) -> None:
    """Refuse to train rows of new parts where there are none, or no model that they are new to."""
    if config.only_new_rows and (start is None or names <= set(start.objects)):
        raise BinposeError(
            f"Only the rows of new parts are to be trained, for {', '.join(sorted(names))}, from a model of "
            f"{', '.join(start.objects) if start is not None else 'no part'}; expected a model and a part that is new "
            "to it; add --start-from MODEL --add-part PART, or leave out --only-new-rows."
        )


def _simulate_validation_views(run: Run) -> None:
    """Unseen views, at most as many as a stage wants, for which a tenth of the simulation's time is used."""
    jobs = {DETECTOR: run.config.detector.validation, POSE: run.config.pose.validation}
    number = max((job.views for name, job in jobs.items() if name in run.config.stages), default=0)
    if not number:
        return
    began, limit_s = run.clock(), VALIDATION_TIME * run.schedule.times[SIMULATION].allotted_s
    with run.schedule.stage("validation"):
        add_validation_views(
            run.validation_views, run.parts, run.scene, run.config.seed, run.workers, number,
            lambda: run.config.views is not None or run.clock() - began < limit_s,
        )  # fmt: skip


def _trained_segmenter(run: Run, views: Sequence[LabelledView], unseen: Sequence[LabelledView]) -> Segmenter:
    """The detector that the settings name, or that of the start."""
    job, names, seed = run.config.detector, tuple(run.parts), run.config.seed
    begin = run.start.segmenter if run.start is not None else None
    if not job.enabled:
        assert begin is not None
        return begin
    with run.schedule.stage(DETECTOR) as seconds:
        training = _with_budget(job.training, seconds, run.config.views, DETECTOR_CROPS_PER_VIEW)
        checkpoint, known = run.checkpoint(DETECTOR), unseen[: job.validation.views]
        if isinstance(training, MaskRcnnTrainingConfig):
            network, hooks = MaskRcnnConfig(names, gsd_m=run.gsd_m), run.hooks(DETECTOR)
            return train_mask_rcnn(views, run.parts, network, training, seed, checkpoint, hooks, run.device)
        begin = _of_kind(begin, VoteSegmenter)
        settings = SegmenterConfig(names, gsd_m=run.gsd_m)
        if run.config.only_new_rows and begin is not None:
            settings = replace(begin.config, objects=names)

        def measure(network: torch.nn.Module) -> dict[str, float]:
            return detection_quality(VoteSegmenter(cast(SegmentationNetwork, network), settings, run.device), known)

        hooks = run.hooks(DETECTOR, validation=_validation(run, DETECTOR, measure, "f1", job.validation, known))
        return train_segmenter(
            views, run.parts, settings, training, seed, checkpoint, hooks, begin, run.device,
            run.config.only_new_rows,
        )  # fmt: skip


def _trained_estimator(
    run: Run, views: Sequence[LabelledView], unseen: Sequence[LabelledView], segmenter: Segmenter
) -> PoseEstimator:
    """The pose network, which learns from what the detector finds too, or that of the start."""
    job = run.config.pose
    begin = _of_kind(run.start.estimator if run.start is not None else None, PoseEstimator)
    if not job.enabled:
        assert begin is not None
        return begin
    settings = _pose_settings(run)
    if run.config.only_new_rows and begin is not None:
        settings = replace(begin.config, objects=tuple(run.parts))
    with run.schedule.stage(POSE) as seconds:
        known = unseen[: job.validation.views]
        detections = [segmenter(view.frame) for view in known]

        def measure(network: torch.nn.Module) -> dict[str, float]:
            own = network.network if isinstance(network, JointNetwork) else network
            estimator = PoseEstimator(cast(PoseNetwork, own), settings, run.parts, run.device)
            return pose_quality(estimator, known, detections, run.parts)

        return train_estimator(
            views,
            run.parts,
            settings,
            _with_budget(job.training, seconds, run.config.views, POSE_CROPS_PER_VIEW),
            run.config.seed,
            run.checkpoint(POSE),
            run.hooks(POSE, validation=_validation(run, POSE, measure, "recall", job.validation, known)),
            lambda items: run.tracked(items, "crops"),
            begin,
            segmenter,
            run.device,
            objective=_pose_objective(run),
            only_new_rows=run.config.only_new_rows,
        )


def _pose_settings(run: Run) -> EstimatorConfig:
    return EstimatorConfig(tuple(run.parts), gsd_m=run.gsd_m, preset=find_preset(run.config.pose.preset)())


def _pose_objective(run: Run) -> Objective | None:
    """Distillation where there are teachers; None = the preset's own loss."""
    config = run.config.pose.distillation
    if not config.enabled:
        return None
    teachers = [_of_kind(load_bundle(path, run.device).estimator, PoseEstimator) for path in config.teachers]
    known = [teacher for teacher in teachers if teacher is not None]
    return distillation_objective(known, _pose_settings(run), [*run.parts.values()], config, run.device)


def _of_kind(stage: object | None, kind: type[Stage]) -> Stage | None:
    """A stage of the model to start from, which must be of the kind that is trained."""
    if stage is not None and not isinstance(stage, kind):
        raise BinposeError(
            f"The model to start from has a {type(stage).__name__}; expected a {kind.__name__}; choose another model."
        )
    return stage


def _trained_refiner(run: Run, views: Sequence[LabelledView]) -> IcpRefiner:
    """The refiner of the settings, without scores; with a network that this training or the start brings."""
    job, settings = run.config.refinement, run.config.calibration.refiner
    known = run.start.refiner.network if run.start is not None else None
    if not job.enabled:
        same = known is not None and tuple(known.config.objects) == tuple(run.parts)
        return IcpRefiner(run.parts, settings, network=known if same else None)
    with run.schedule.stage(REFINEMENT) as seconds:
        signals = job.training.signals

        def hooks_of(signal: str) -> list[Hook]:
            return run.hooks(REFINEMENT, signal, [*signals].index(signal), len(signals))  # type: ignore[arg-type]

        network = trained_refinement_network(
            views,
            run.parts,
            job.training.with_budget(seconds / 60.0),
            run.config.seed,
            run.checkpoint(REFINEMENT),
            hooks_of,
            known,
        )
    return IcpRefiner(run.parts, settings, network=network)


def _calibrated(run: Run, segmenter: Segmenter, estimator: PoseEstimator, refiner: IcpRefiner) -> PipelineBundle:
    """The bundle with a refiner fitted on some of the unseen views and metrics from the others."""
    config, number = run.config, run.config.calibration_views
    with run.schedule.stage(CALIBRATION):
        track = limited_track(run, number, config.calibration.evaluation_views)
        return calibrated_bundle(
            segmenter, estimator, refiner, run.parts, run.scene, config.seed, run.workers, number,
            config.calibration.evaluation_views, track, config.simulation.scene.content,
        )  # fmt: skip


def _validation(
    run: Run, stage: str, measure: Measure, metric: str, config: ValidationConfig, views: Sequence[LabelledView]
) -> list[Hook]:
    return validation_hooks(measure, metric, config, run.curve_file(stage)) if views else []


def _with_budget(config: StageConfig, seconds: float, views: int | None, crops_per_view: int) -> StageConfig:
    """The loop with its time, or with as many samples as belong to the number of views, unless it has its own."""
    loop = replace(config.loop, minutes=seconds / 60.0)
    if views is not None and loop.steps is None and loop.samples is None:
        loop = replace(loop, samples=views * crops_per_view)
    return replace(config, loop=loop)
