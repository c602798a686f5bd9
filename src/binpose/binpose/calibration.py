"""Turning evidence into probabilities, and measuring a model on bins it has not seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose.pipeline import SegmenterStage
from binpose_core.catalogue import ObjectModel
from binpose_core.evaluation import EvaluationConfig, Evaluator, FrameEvaluation, FrameTruth, KnownPart, labelled_scores
from binpose_core.geometry import FloatArray
from binpose_core.pose_errors import PartErrors
from binpose_core.scores import Summary, summarise
from binpose_core.types import LabelledView, PoseEstimate
from binpose_estimator.estimator import PoseEstimator
from binpose_refinement.calibration import fit_calibration, reliability
from binpose_refinement.refiner import IcpRefiner

FEWEST_OF_A_KIND = 30
"""Right and wrong poses without which no calibration is fitted."""


@dataclass(frozen=True)
class LabelledCandidates:
    """Verified hypotheses of many frames: features (N, F), correct (N,), frame (N,).

    part: (N,) the place of the object in the sorted names.
    """

    features: FloatArray
    part: npt.NDArray[np.int64]
    correct: npt.NDArray[np.bool_]
    frame: npt.NDArray[np.int64]


def labelled_candidates(
    segmenter: SegmenterStage,
    estimator: PoseEstimator,
    refiner: IcpRefiner,
    errors: Mapping[str, PartErrors],
    views: Iterable[LabelledView],
) -> LabelledCandidates:
    """What the refiner measures of every hypothesis on labelled views, and whether the pose was right."""
    places = {name: place for place, name in enumerate(sorted(errors))}
    features, part, correct, frames = [], [], [], []
    for number, view in enumerate(views):
        detections = segmenter(view.frame)
        poses = estimator(view.frame, detections)
        for candidate in refiner.candidates(view.frame, detections, poses):
            features.append(candidate.features)
            part.append(places[candidate.object_id])
            correct.append(is_right(candidate.object_id, candidate.T_cam_obj, view, errors))
            frames.append(number)
    return LabelledCandidates(
        np.array(features), np.array(part, np.int64), np.array(correct, bool), np.array(frames, np.int64)
    )


def is_right(object_id: str, T_cam_obj: FloatArray, view: LabelledView, errors: Mapping[str, PartErrors]) -> bool:
    """Whether any part of the view has this pose within the usual share of its diameter by ADD(-S)."""
    same = np.array([name == object_id for name in view.object_ids], bool)
    limit_m = EvaluationConfig.max_error * errors[object_id].diameter_m
    return bool(np.isfinite(errors[object_id].matrix("add_s", T_cam_obj[None], view.T_cam_obj[same], limit_m)).any())


def calibrated_refiner(
    segmenter: SegmenterStage,
    estimator: PoseEstimator,
    objects: Mapping[str, ObjectModel],
    views: Iterable[LabelledView],
    seed: int,
) -> IcpRefiner:
    """A refiner whose scores are probabilities, fitted on views that the networks have not seen.

    Where hardly any pose was right (or wrong) there is nothing to fit, and the scores stay those made by hand.
    """
    refiner = IcpRefiner(objects)
    errors = {name: PartErrors(model) for name, model in objects.items()}
    found = labelled_candidates(segmenter, estimator, refiner, errors, views)
    if min(found.correct.sum(), (~found.correct).sum()) < FEWEST_OF_A_KIND:
        return refiner
    calibration = fit_calibration(found.features, found.correct, found.part, len(objects), found.frame, seed=seed)
    return IcpRefiner(objects, refiner.config, calibration)


def judge_views(
    views: Iterable[LabelledView],
    estimates: Iterable[Sequence[PoseEstimate]],
    objects: Mapping[str, ObjectModel],
    config: EvaluationConfig,
) -> list[FrameEvaluation]:
    """Judge the estimates of fully labelled views, in the same order."""
    evaluator = Evaluator({name: PartErrors(model) for name, model in objects.items()}, config)
    frames = []
    for number, (view, found) in enumerate(zip(views, estimates, strict=True)):
        parts = [
            KnownPart(name, T, float(visible))
            for name, T, visible in zip(view.object_ids, view.T_cam_obj, view.visible_fraction, strict=True)
        ]
        frames.append(evaluator(f"{number:06d}", FrameTruth(parts), found))
    return frames


def metrics_of(frames: Sequence[FrameEvaluation], config: EvaluationConfig) -> dict[str, Any]:
    """The measured figures as plain JSON data: per object and over all, and how far scores are from probabilities."""
    summary: Summary = summarise(frames, config)
    scores, correct = labelled_scores(frames)
    return {
        "frames": len(frames),
        "min_visible_fraction": config.min_visible_fraction,
        "score_threshold": config.score_threshold,
        "calibration_error": reliability(scores, correct).expected_calibration_error,
        "objects": {
            score.object_id: {
                "parts": score.n_parts,
                "recall": score.recall,
                "precision": score.precision,
                "median_error_of_diameter": score.median_error,
            }
            for score in (*summary.objects, summary.overall)
        },
    }
