"""Turning evidence into probabilities, and measuring a model on bins it has not seen."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from binpose_core.base.workers import Workers
from binpose_core.evaluation.matching import (
    HALF_VISIBLE,
    EvaluationConfig,
    Evaluator,
    FrameEvaluation,
    FrameTruth,
    Verdict,
    labelled_scores,
    view_truths,
)
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.evaluation.scores import Summary, summarise
from binpose_core.frames.types import UNKNOWN, LabelledView, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.stages import Segmenter
from binpose_estimator.estimator import PoseEstimator
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import Pipeline
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.reliability import reliability
from binpose_refinement.scene_choice import SCENE_EVIDENCE
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_training.calibration_samples import labelled_candidates

HELD_OUT_SEED, SCALING_SEED = 1_000_003, 1_500_007
EVALUATION = EvaluationConfig(min_visible_fraction=HALF_VISIBLE)
MIXED_FRACTION = 0.5
"""Of the calibration's bins, those with several kinds of parts; trainings see more of them, users fewer."""
CALIBRATION_VIEWS_PER_PILE = 4
"""Largest number of the calibration's views of one pile: views of one pile are no independent samples."""
SCALING_FRACTION = 0.33
"""Of the calibration's bins, those that give the scale."""
SCALING = ("scaling, round 1", "scaling, round 2")
"""How often the scale is fitted: the scores decide which poses are selected, and these decide the scale."""
FEWEST_OF_A_KIND = 30
"""Right and wrong poses without which no calibration is fitted."""


def scaling_views(fitted_views: int) -> int:
    """How many of the calibration's views give the scale."""
    return int(SCALING_FRACTION * fitted_views)


def calibration_steps(fitted_views: int) -> int:
    """How often a view is looked at for the calibration: those of the scale once in each round."""
    number = scaling_views(fitted_views)
    return fitted_views - number + len(SCALING) * number


class Track(Protocol):
    """Reports progress."""

    def __call__(self, items: Sequence[int], stage: str) -> Iterator[int]:
        """Yield the items; each counts as done when the next one is taken."""
        ...


def untracked(items: Sequence[int], stage: str) -> Iterator[int]:
    """All items, without a report."""
    return iter(items)


def calibrated_refiner(
    segmenter: Segmenter,
    estimator: PoseEstimator,
    refiner: IcpRefiner,
    objects: Mapping[str, ObjectModel],
    views: Iterable[LabelledView],
    scaling_views: Sequence[LabelledView],
    seed: int,
    track: Track = untracked,
) -> IcpRefiner:
    """The refiner with scores that are probabilities, fitted on views that the networks have not seen.

    The evidence of all hypotheses on `views` gives the model of the score; the poses that it selects on `scaling_views`
    give its scale, in rounds, because the scores change which poses are selected. Where hardly any pose was right (or
    wrong) there is nothing to fit, and the scores stay heuristic.
    """
    s = labelled_candidates(segmenter, estimator, refiner, objects, views, seed)
    if min(s.correct.sum(), (~s.correct).sum()) < FEWEST_OF_A_KIND:
        return refiner
    calibration = fit_calibration(s.features, s.correct, s.weight, s.part, len(objects))
    for stage in SCALING:
        pipeline = Pipeline(segmenter, estimator, refiner.using(calibration=calibration))
        found = [pipeline(scaling_views[i].frame) for i in track(range(len(scaling_views)), stage)]
        judged = evaluate_views(scaling_views[: len(found)], found, objects, EVALUATION)
        calibration = calibration.scaled(*selected_samples(judged, found))
    return refiner.using(calibration=calibration)


def selected_samples(
    judged: Sequence[FrameEvaluation], found: Sequence[Sequence[PoseEstimate]]
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """What `Calibration.scaled` takes of selected poses: scores (N,), scene evidence (N, S), and whether right (N,).

    Poses that were not selected have no score. One of them that is right would count as an extreme mistake of the
    scores, and the fit would make all scores too low.

    Args:
        judged: evaluations of frames.
        found: the poses of each frame, in the order in which they were judged.
    """
    rows = [
        (estimate.score, [pose.residuals.get(name, 0.0) for name in SCENE_EVIDENCE], estimate.verdict is Verdict.RIGHT)
        for frame, poses in zip(judged, found, strict=True)
        for estimate, pose in zip(frame.estimates, poses, strict=True)
        if estimate.verdict in (Verdict.RIGHT, Verdict.WRONG) and estimate.score > 0
    ]
    score, scene, right = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(score), np.array(scene).reshape(-1, len(SCENE_EVIDENCE)), np.array(right, bool)


def calibrated_bundle(
    segmenter: Segmenter,
    estimator: PoseEstimator,
    refiner: IcpRefiner,
    parts: Mapping[str, ObjectModel],
    scene: SceneConfig,
    seed: int,
    workers: Workers | int,
    fitted_views: int,
    judged_views: int,
    track: Track = untracked,
    typical: ContentConfig | None = None,
) -> PipelineBundle:
    """The bundle with a refiner fitted on simulated bins that the networks have not seen, and metrics from others.

    Args:
        segmenter: trained.
        estimator: trained.
        refiner: of the same parts, without a calibration.
        parts: the objects of all three by id.
        scene: the bins.
        seed: of a training; the bins are others than those it has trained on.
        workers: who simulates, or a number of processes.
        fitted_views: for the calibration.
        judged_views: for the metrics.
        track: called with items and the name of what they are for, "calibration", those of `SCALING` or "evaluation";
            yields the items, or as many as there is time for.
        typical: content of the bins that give the scale and the metrics, such as users have; trainings are fuller.
            None: that of the scene.
    """
    views_per_pile = min(scene.views_per_pile, CALIBRATION_VIEWS_PER_PILE)
    full = replace(scene, content=replace(scene.content, mixed_share=MIXED_FRACTION), views_per_pile=views_per_pile)
    usual = full if typical is None else replace(full, content=typical)
    prepared = as_prepared(parts, scene.content)
    # One view after the other: with what the stages keep of its frame, a view takes 7 MB.
    with (
        SimulationStream(prepared, full, seed + HELD_OUT_SEED, workers) as stream,
        SimulationStream(prepared, usual, seed + SCALING_SEED, workers) as usual_stream,
    ):
        number = scaling_views(fitted_views)
        fitting = (next(stream) for _ in track(range(fitted_views - number), "calibration"))
        scaling = [next(usual_stream) for _ in range(number)]
        refiner = calibrated_refiner(segmenter, estimator, refiner, parts, fitting, scaling, seed, track)
        bundle = PipelineBundle(Pipeline(segmenter, estimator, refiner), parts)
        judging = (next(usual_stream) for _ in track(range(judged_views), "evaluation"))
        known, seen = itertools.tee(judging)
        judged = evaluate_views(known, (bundle.pipeline(view.frame) for view in seen), parts, EVALUATION)
    return replace(bundle, metrics=metrics_of(judged, EVALUATION))


def evaluate_views(
    views: Iterable[LabelledView],
    estimates: Iterable[Sequence[PoseEstimate]],
    objects: Mapping[str, ObjectModel],
    config: EvaluationConfig,
) -> list[FrameEvaluation]:
    """Judge the estimates of views, in the same order.

    Parts of which class and pose are known have to be found; an estimate on unknown pixels without a counterpart is
    unknown, not wrong.
    """
    evaluator = Evaluator({name: PartErrors(model) for name, model in objects.items()}, config)
    frames = []
    for number, (view, found) in enumerate(zip(views, estimates, strict=True)):
        frames.append(evaluator(f"{number:06d}", frame_truth(view), found))
    return frames


def frame_truth(view: LabelledView) -> FrameTruth:
    """What is known about the parts of a view."""
    unknown = (view.instance_ids == UNKNOWN) | np.isin(view.instance_ids, np.flatnonzero(~view.pose_known))
    return FrameTruth(view_truths(view), camera=view.frame.camera, unknown=unknown if unknown.any() else None)


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
