"""Validation during a training: what the networks find in unseen simulated bins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from binpose_core.base.workers import Workers
from binpose_core.evaluation.matching import HALF_VISIBLE, EvaluationConfig
from binpose_core.evaluation.scores import summarise
from binpose_core.frames.types import Detection, LabelledView
from binpose_core.learning.hooks import Hook, Validation
from binpose_core.learning.validation_curve import ValidationConfig, ValidationCurve
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.stages import Segmenter
from binpose_estimator.estimator import PoseEstimator
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from binpose_training.calibration import evaluate_views

VALIDATION_SEED = 500_009
"""Added to a training's seed: other bins than those of the training, the calibration and the evaluation."""
VALIDATION_VIEWS_PER_PILE = 2
LEAST_IOU = 0.5
"""At this overlap at most one detection belongs to a part, and one part to a detection."""
Measure = Callable[[torch.nn.Module], Mapping[str, float]]


def add_validation_views(
    store: ViewStore,
    parts: Mapping[str, ObjectModel],
    scene: SceneConfig,
    seed: int,
    workers: Workers | int,
    number: int,
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Simulate unseen views until the store has `number` of them, or `go_on` is false; at least two.

    Args:
        store: of the views; those that an interrupted run left there count.
        parts: the objects by id.
        scene: the bins.
        seed: of the training.
        workers: who simulates, or a number of processes.
        number: of views.
        go_on: asked before each view after the second.
    """
    if len(store) >= number:
        return
    scene = replace(scene, views_per_pile=VALIDATION_VIEWS_PER_PILE)
    with SimulationStream(parts, scene, seed + VALIDATION_SEED, workers, start=len(store)) as stream:
        while len(store) < number and (len(store) < min(2, number) or go_on()):
            store.append(next(stream))


def validation_hooks(measure: Measure, metric: str, config: ValidationConfig, file: Path) -> list[Hook]:
    """The hooks that measure, and that end the training where the metric has stopped rising."""
    return [Validation(measure, config.times), ValidationCurve(config, metric, file)]


def detection_quality(segmenter: Segmenter, views: Sequence[LabelledView]) -> dict[str, float]:
    """Instance recall, precision and their harmonic mean `f1` over the views.

    A detection is right where it has the part's class and an IoU above `LEAST_IOU` with its visible pixels. Recall
    counts the parts that are at least half visible.
    """
    wanted = found = right = reported = 0
    for view in views:
        detections = segmenter(view.frame)
        hits = [hit for detection in detections if (hit := _instance(detection, view)) is not None]
        visible = set(np.flatnonzero(np.asarray(view.visible_fraction) >= HALF_VISIBLE).tolist())
        wanted, found = wanted + len(visible), found + len(visible & set(hits))
        right, reported = right + len(set(hits)), reported + len(detections)
    recall, precision = found / max(wanted, 1), right / max(reported, 1)
    return {"recall": recall, "precision": precision, "f1": 2 * recall * precision / max(recall + precision, 1e-9)}


def _instance(detection: Detection, view: LabelledView) -> int | None:
    """The part that a detection is of, None where it is of none."""
    x0, y0, x1, y1 = detection.bbox_xyxy
    ids = view.instance_ids[y0:y1, x0:x1][detection.mask]
    count = np.bincount(ids[ids >= 0].astype(np.int64), minlength=1)
    best = int(count.argmax())
    union = len(ids) + int((view.instance_ids == best).sum()) - int(count[best])
    right = count[best] > LEAST_IOU * union and view.object_ids[best] == detection.object_id
    return best if right else None


def pose_quality(
    estimator: PoseEstimator,
    views: Sequence[LabelledView],
    detections: Sequence[Sequence[Detection]],
    parts: Mapping[str, ObjectModel],
) -> dict[str, float]:
    """Recall and precision of the estimator's poses, before any refinement.

    Args:
        estimator: with the weights to measure.
        views: unseen ones.
        detections: of each view.
        parts: the objects by id.
    """
    config = EvaluationConfig(min_visible_fraction=HALF_VISIBLE, score_threshold=0.0)
    estimates = [estimator(view.frame, found) for view, found in zip(views, detections, strict=True)]
    overall = summarise(evaluate_views(views, estimates, parts, config), config).overall
    recall, precision = np.nan_to_num([overall.recall, overall.precision or 0.0])
    return {"recall": float(recall), "precision": float(precision)}
