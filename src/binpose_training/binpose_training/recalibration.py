"""Fitting the scores of a stored model anew."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.base.workers import Workers
from binpose_core.learning.model_store import ModelStore
from binpose_core.stages import Segmenter
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter
from binpose_estimator.estimator import PoseEstimator
from binpose_pipeline.bundle import PipelineBundle, save_bundle, shipped_or_own
from binpose_refinement.refiner import IcpRefiner
from binpose_simulation.scene import SceneConfig
from binpose_training.calibration import calibrated_bundle
from binpose_training.training_scene import training_scene


def recalibrate(
    bundle: PipelineBundle,
    model: Path,
    out: Path,
    scene: SceneConfig,
    seed: int,
    workers: Workers | int,
    fitted_views: int,
    judged_views: int,
    advance: Callable[[str], object],
) -> tuple[str, PipelineBundle]:
    """Save the bundle with a new calibration and new metrics; returns the version and the bundle.

    Args:
        bundle: loaded from `model`.
        model: the store it came from.
        out: the store to save to; the new version becomes its current one.
        scene: the bins; parts per bin and distances are set as in a training.
        seed: of the bins.
        workers: who simulates, or a number of processes.
        fitted_views: bins for the calibration.
        judged_views: bins for the metrics.
        advance: called with "calibration" (`calibration_steps` times) or "evaluation" after each bin.

    Raises:
        BinposeError: for numbers of bins below 1, and for a model whose pose estimator is of another kind.
    """
    if min(fitted_views, judged_views) < 1:
        raise BinposeError(
            f"Calibration with {fitted_views} bins and evaluation with {judged_views}; expected at least 1 each."
        )
    estimator, refiner = bundle.estimator, bundle.refiner
    if not isinstance(estimator, PoseEstimator) or not isinstance(refiner, IcpRefiner):
        raise BinposeError(
            f"A model of {type(estimator).__name__} and {type(refiner).__name__} cannot be calibrated; expected a "
            "trained PoseEstimator and an IcpRefiner."
        )

    def track(items: Sequence[int], stage: str) -> Iterator[int]:
        for item in items:
            yield item
            advance("evaluation" if stage == "evaluation" else "calibration")

    segmenter = _naming_alternatives(bundle.segmenter)
    bins = training_scene(scene, estimator.config.gsd_m, len(bundle.objects))
    calibrated = calibrated_bundle(
        segmenter,
        estimator,
        IcpRefiner(bundle.objects, refiner.config),
        bundle.objects,
        bins,
        seed,
        workers,
        fitted_views,
        judged_views,
        track,
        scene.content,
    )
    fitted = calibrated.refiner.calibration if isinstance(calibrated.refiner, IcpRefiner) else None
    refiner = refiner.using(calibration=fitted)
    merged = replace(bundle.using(segmenter=segmenter, refiner=refiner), metrics=calibrated.metrics)
    header = {"training": ModelStore(shipped_or_own(model)).header(bundle.version).get("training", {})}
    return save_bundle(merged, out, parent=bundle.version, header=header, half=True), merged


def _naming_alternatives(segmenter: Segmenter) -> Segmenter:
    """The detector with today's rule for alternative classes: scores compare the parts that look alike."""
    if not isinstance(segmenter, VoteSegmenter):
        return segmenter
    today = SegmenterConfig(segmenter.config.objects)
    config = replace(
        segmenter.config, alternative_share=today.alternative_share, max_alternatives=today.max_alternatives
    )
    return VoteSegmenter(segmenter.network, config, str(segmenter.device))
