"""From CAD files to a model: simulate bins, train both networks on them, calibrate on bins they have not seen."""

import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from binpose.bundle import ModelBundle, save_bundle
from binpose.calibration import calibrated_refiner, judge_views, metrics_of
from binpose.pipeline import SegmenterStage
from binpose.refinement_stage import refinement_steps, trained_refinement_network
from binpose.training_config import TrainConfig, gentler
from binpose.training_scene import training_scene, working_gsd_m
from binpose_core.catalogue import ObjectModel
from binpose_core.errors import BinposeError
from binpose_core.evaluation import HALF_VISIBLE, EvaluationConfig
from binpose_core.files import read_json, write_json
from binpose_core.weights import read_progress
from binpose_detection.mask_rcnn import MaskRcnnConfig, import_torchvision
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig, train_mask_rcnn
from binpose_detection.segmenter import SegmenterConfig
from binpose_detection.training import SegmentationTrainingConfig, train_segmenter
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.training import train_estimator
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore

Item = TypeVar("Item")
StageConfig = TypeVar("StageConfig", SegmentationTrainingConfig, MaskRcnnTrainingConfig, PoseTrainingConfig)

HELD_OUT_SEED = 1_000_003

Progress = Callable[[str, float, str], None]


def train(
    objects: Sequence[ObjectModel],
    out: Path,
    config: TrainConfig,
    resume: bool = False,
    progress: Progress | None = None,
    start: ModelBundle | None = None,
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

    Raises:
        BinposeError: without objects; if an interrupted run is there and `resume` is not given, or it was another one;
            for a full disk; if the detector needs torchvision and it cannot be used; if `start` has other networks.
    """
    if not objects or len({part.id for part in objects}) < len(objects):
        raise BinposeError(
            f"Training for the objects {', '.join(part.id for part in objects) or 'none'}; expected at least one, each "
            "once; name parts of the catalogue with --objects a,b."
        )
    if config.detector == "mask_rcnn":
        import_torchvision()  # before half an hour of simulation
    if start is not None:
        config = gentler(config, start.segmenter)
    report = progress or (lambda stage, share, message: None)
    parts = {part.id: part for part in objects}
    gsd_m = working_gsd_m(objects)
    scene = training_scene(config.scene, gsd_m, len(objects))
    # What is refused is refused above: from here on a run is there, which must be resumed or deleted.
    settings = _settings(objects, config, start)
    directory = _prepared_directory(out / "training", settings, resume)
    names = tuple(parts)
    views = _simulated(directory, parts, scene, config, report)
    segmenter = _trained_segmenter(views, parts, gsd_m, config, directory, report, start)
    estimator = train_estimator(
        views,
        parts,
        EstimatorConfig(names, gsd_m=gsd_m),
        _with_minutes(config.pose, config.minutes * config.pose_share),
        config.seed,
        directory / "pose.safetensors",
        lambda share, losses: report("pose", share, _told(losses)),
        lambda items: _tracked(items, report, "crops"),
        start.estimator if start is not None else None,  # type: ignore[arg-type]  # trained ones are of this class
        segmenter,
    )
    refinement = None
    if config.refinement_share:
        refinement = trained_refinement_network(
            views,
            parts,
            config.refinement.lasting(config.minutes * config.refinement_share),
            config.seed,
            directory,
            lambda share, losses: report("refinement", share, _told(losses)),
            start,
        )
    bundle = _calibrated(segmenter, estimator, parts, scene, config, report)
    done = {"views": len(views), **{f"{name}_steps": _steps(directory, name) for name in ("segmentation", "pose")}}
    if refinement is not None:
        bundle = replace(bundle, refiner=bundle.refiner.using(network=refinement))  # type: ignore[attr-defined]
        done["refinement_steps"] = refinement_steps(directory)
    version = save_bundle(
        bundle, out, parent=settings["start"], header={"training": {**settings, "done": done}}, half=True
    )
    shutil.rmtree(directory)
    return version


def _prepared_directory(directory: Path, settings: Mapping[str, Any], resume: bool) -> Path:
    """The run's folder, new or the one to be resumed."""
    file = directory / "run.json"
    if file.exists():
        if not resume:
            raise BinposeError(
                f"An interrupted training is in {directory}; expected none; go on with --resume or delete that folder."
            )
        if read_json(file)["settings"] != settings:
            raise BinposeError(
                f"The interrupted training in {directory} had other objects or settings; expected the same ones to "
                "resume; repeat its command, or delete that folder and start anew."
            )
    elif resume:
        raise BinposeError(
            f"No interrupted training in {directory}; expected one to resume; check --out, or begin without --resume."
        )
    else:
        write_json(file, {"settings": settings, "simulation": 0.0})
    return directory


def _settings(objects: Sequence[ObjectModel], config: TrainConfig, start: ModelBundle | None) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    del settings["workers"]
    digests = {part.id: part.digest() for part in objects}
    return {"objects": list(digests), "digests": digests, "start": start.version if start else None, **settings}


def _simulated(
    directory: Path, parts: Mapping[str, ObjectModel], scene: SceneConfig, config: TrainConfig, report: Progress
) -> ViewStore:
    """As many views as the time allows."""
    store, file = ViewStore(directory / "views"), directory / "run.json"
    run = read_json(file)
    seconds, done = 60.0 * config.minutes * config.simulation_share, float(run["simulation"])
    if done >= 1.0 and len(store):
        return store

    def on_part(number: int, total: int, object_id: str) -> None:
        report("parts", (number - 1) / total, f"convex pieces of {object_id}, {number} of {total}")

    with SimulationStream(parts, scene, config.seed, config.workers, start=len(store), on_part=on_part) as stream:
        report("parts", 1.0, f"convex pieces of {len(parts)}")
        report("simulation", done, "the first pile settles")
        view = next(stream)
        while done < 1.0:
            began = time.monotonic()
            store.append(view)
            view = next(stream)
            done += (time.monotonic() - began) / seconds
            if len(store) % 20 == 0 or done >= 1.0:
                write_json(file, {**run, "simulation": done}, durable=False)
                report("simulation", min(done, 1.0), f"{len(store)} views")
    return store


def _trained_segmenter(
    views: ViewStore,
    parts: Mapping[str, ObjectModel],
    gsd_m: float,
    config: TrainConfig,
    directory: Path,
    report: Progress,
    start: ModelBundle | None,
) -> SegmenterStage:
    """The detector that the settings name, trained for the segmentation's share of the time."""
    names, minutes = tuple(parts), config.minutes * config.segmentation_share
    checkpoint = directory / "segmentation.safetensors"

    def on_step(share: float, losses: Mapping[str, float]) -> None:
        report("segmentation", share, _told(losses))

    if config.detector == "mask_rcnn":
        network, training = MaskRcnnConfig(names, gsd_m=gsd_m), _with_minutes(config.mask_rcnn, minutes)
        return train_mask_rcnn(views, parts, network, training, config.seed, checkpoint, on_step)
    settings, voting = SegmenterConfig(names, gsd_m=gsd_m), _with_minutes(config.segmentation, minutes)
    begin = start.segmenter if start is not None else None
    return train_segmenter(views, parts, settings, voting, config.seed, checkpoint, on_step, begin)  # type: ignore[arg-type]


def _steps(directory: Path, stage: str) -> int:
    return read_progress(directory / f"{stage}.safetensors").steps


def _calibrated(
    segmenter: SegmenterStage,
    estimator: PoseEstimator,
    parts: Mapping[str, ObjectModel],
    scene: SceneConfig,
    config: TrainConfig,
    report: Progress,
) -> ModelBundle:
    """The bundle with a refiner fitted on some of the unseen views and metrics from the others."""
    # One view after the other: with what the stages keep of its frame, a view takes 7 MB.
    with SimulationStream(parts, scene, config.seed + HELD_OUT_SEED, config.workers) as stream:
        fitting = (next(stream) for _ in _tracked(range(config.calibration_views), report, "calibration"))
        refiner = calibrated_refiner(segmenter, estimator, parts, fitting, config.seed)
        bundle = ModelBundle(segmenter, estimator, refiner, parts)
        evaluation = EvaluationConfig(min_visible_fraction=HALF_VISIBLE)
        judging = (next(stream) for _ in _tracked(range(config.evaluation_views), report, "evaluation"))
        known, seen = itertools.tee(judging)
        judged = judge_views(known, (bundle.pipeline(view.frame) for view in seen), parts, evaluation)
    return replace(bundle, metrics=metrics_of(judged, evaluation))


def _with_minutes(config: StageConfig, minutes: float) -> StageConfig:
    return replace(config, loop=replace(config.loop, minutes=minutes))


def _told(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in losses.items())


def _tracked(items: Sequence[Item], report: Progress, stage: str) -> Iterator[Item]:
    for number, item in enumerate(items):
        yield item
        report(stage, (number + 1) / len(items), f"{number + 1} of {len(items)}")
