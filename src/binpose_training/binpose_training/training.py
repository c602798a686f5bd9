"""From CAD files to a model: simulate bins, train the networks on them, calibrate on bins they have not seen."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from binpose_core.base.devices import check_device
from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import LabelledView
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.stages import Segmenter
from binpose_detection.mask_rcnn import MaskRcnnConfig, import_torchvision
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig, train_mask_rcnn
from binpose_detection.segmenter import SegmenterConfig
from binpose_detection.training import SegmentationTrainingConfig, train_segmenter
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.training import train_estimator
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_pipeline.bundle import PipelineBundle, save_bundle
from binpose_refinement.network import RefinementNetwork
from binpose_training.calibration import calibrated_bundle
from binpose_training.config import TrainConfig, fine_tuning
from binpose_training.refinement_stage import STAGE as REFINEMENT
from binpose_training.refinement_stage import refinement_steps, trained_refinement_network
from binpose_training.training_run import Progress, Run, prepare_directory, simulated_views

StageConfig = TypeVar("StageConfig", SegmentationTrainingConfig, MaskRcnnTrainingConfig, PoseTrainingConfig)

DETECTOR, POSE = "segmentation", "pose"


def train(
    objects: Sequence[ObjectModel],
    out: Path,
    config: TrainConfig,
    resume: bool = False,
    progress: Progress | None = None,
    start: PipelineBundle | None = None,
    device: str = "cpu",
) -> str:
    """Train one model for all objects; returns its version in the model store.

    An interrupted run leaves its simulated views and the networks' checkpoints in `out/training`.

    Args:
        objects: the parts.
        out: the model store's folder.
        config: the budget, its split and the stages' settings.
        resume: go on from what an interrupted run with the same objects and settings left there.
        progress: called with (stage, share done, message).
        start: a model, of these parts or others, whose networks this one begins with; it becomes the parent.
        device: where detector and pose network are trained; a refinement network is on the processor, which draws.

    Raises:
        BinposeError: without objects; if an interrupted run is there and `resume` is not given, or it was another one;
            for a full disk; if the detector needs torchvision and it cannot be used; if `start` has other networks; for
            a device that is not there.
    """
    run = _begun(objects, out, config, resume, progress, start, device)
    views = simulated_views(run)
    segmenter = _trained_segmenter(run, views)
    estimator = _trained_estimator(run, views, segmenter)
    network = _trained_refinement(run, views) if run.config.refinement_share else None
    bundle = _calibrated(run, segmenter, estimator)
    done = {"views": len(views), **{f"{stage}_steps": run.steps(stage) for stage in (DETECTOR, POSE)}}
    if network is not None:
        bundle = bundle.using(refiner=bundle.refiner.using(network=network))
        done["refinement_steps"] = refinement_steps(run.directory)
    header = {"training": {**run.settings, "done": done}}
    version = save_bundle(bundle, out, parent=run.settings["start"], header=header, half=True)
    shutil.rmtree(run.directory)
    return version


def _begun(
    objects: Sequence[ObjectModel],
    out: Path,
    config: TrainConfig,
    resume: bool,
    progress: Progress | None,
    start: PipelineBundle | None,
    device: str,
) -> Run:
    """The run, after everything that can be refused was: from here on it must be resumed or deleted."""
    if not objects or len({part.id for part in objects}) < len(objects):
        raise BinposeError(
            f"Training for the objects {', '.join(part.id for part in objects) or 'none'}; expected at least one, each "
            "once; name parts of the catalogue with --objects a,b."
        )
    check_device(device)
    if config.detector == "mask_rcnn":
        import_torchvision()
    if start is not None:
        config = fine_tuning(config, start.segmenter)
    report = progress or (lambda stage, share, message: None)
    run = Run({part.id: part for part in objects}, config, out / "training", start, report, device)
    prepare_directory(run, resume)
    return run


def _trained_segmenter(run: Run, views: Sequence[LabelledView]) -> Segmenter:
    """The detector that the settings name, trained for the segmentation's share of the time."""
    config, names = run.config, tuple(run.parts)
    minutes, checkpoint = config.minutes * config.segmentation_share, run.checkpoint(DETECTOR)
    report = run.on_step(DETECTOR)
    if config.detector == "mask_rcnn":
        network, training = MaskRcnnConfig(names, gsd_m=run.gsd_m), _with_minutes(config.mask_rcnn, minutes)
        return train_mask_rcnn(views, run.parts, network, training, config.seed, checkpoint, report, run.device)
    settings, voting = SegmenterConfig(names, gsd_m=run.gsd_m), _with_minutes(config.segmentation, minutes)
    begin = run.start.segmenter if run.start is not None else None
    return train_segmenter(
        views, run.parts, settings, voting, config.seed, checkpoint, report,
        begin,  # type: ignore[arg-type]  # `fine_tuning` has refused all others
        run.device,
    )  # fmt: skip


def _trained_estimator(run: Run, views: Sequence[LabelledView], segmenter: Segmenter) -> PoseEstimator:
    """The pose network, which learns from what the detector finds too."""
    config = run.config
    return train_estimator(
        views,
        run.parts,
        EstimatorConfig(tuple(run.parts), gsd_m=run.gsd_m),
        _with_minutes(config.pose, config.minutes * config.pose_share),
        config.seed,
        run.checkpoint(POSE),
        run.on_step(POSE),
        lambda items: run.tracked(items, "crops"),
        run.start.estimator if run.start is not None else None,  # type: ignore[arg-type]  # trained ones are of this class
        segmenter,
        run.device,
    )


def _trained_refinement(run: Run, views: Sequence[LabelledView]) -> RefinementNetwork:
    config = run.config
    lasting = config.refinement.with_budget(config.minutes * config.refinement_share)
    told = run.on_step(REFINEMENT)
    return trained_refinement_network(views, run.parts, lasting, config.seed, run.directory, told, run.start)


def _calibrated(run: Run, segmenter: Segmenter, estimator: PoseEstimator) -> PipelineBundle:
    """The bundle with a refiner fitted on some of the unseen views and metrics from the others."""
    c = run.config
    return calibrated_bundle(
        segmenter, estimator, run.parts, run.scene, c.seed, c.workers, c.bins_for_calibration, c.evaluation_views,
        run.tracked,
    )  # fmt: skip


def _with_minutes(config: StageConfig, minutes: float) -> StageConfig:
    return replace(config, loop=replace(config.loop, minutes=minutes))
