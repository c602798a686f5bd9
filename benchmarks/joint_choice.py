"""What later looks and more proposals change, on simulated bins that were not used for training.

python benchmarks/joint_choice.py [--model demo] [--frames 36] [--budgets-ms 120 200]

The rows with more proposals group the votes of the detector in five more ways. A joint choice must not lose by them.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tyro

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation.matching import HALF_VISIBLE, EvaluationConfig, labelled_scores
from binpose_core.evaluation.pose_errors import ErrorName
from binpose_core.evaluation.scores import summarise
from binpose_core.frames.prepared_frame import AnyFrame, prepared
from binpose_core.frames.types import Detection, LabelledView
from binpose_core.stages import StoredStage
from binpose_detection.segmenter import VoteSegmenter
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_pipeline.pipeline import Pipeline
from binpose_pipeline.scene.second_look import LookConfig, new_detections
from binpose_refinement.reliability import reliability
from binpose_training.calibration import evaluate_views
from common import heading, table
from scenes import unseen_views

ERRORS: tuple[ErrorName, ...] = ("add_s", "adi")
MORE_GROUPINGS = (
    {"foreground": 0.5},
    {"foreground": 0.8},
    {"repulsion": 0.5},
    {"repulsion": 2.0},
    {"same_center": 0.75},
)
SINGLE = LookConfig(looks=1)


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: how many, one pile each.

    budgets_ms: times per frame for further rows; their results depend on the machine.
    """

    model: str = "demo"
    frames: int = 36
    budgets_ms: tuple[float, ...] = ()


class ManyGroupings:
    """A detector that groups its votes in several ways and keeps what differs."""

    def __init__(self, segmenter: VoteSegmenter) -> None:
        grouping = segmenter.config.grouping
        self._segmenters = [
            VoteSegmenter(segmenter.network, replace(segmenter.config, grouping=replace(grouping, **changes)))
            for changes in ({}, *MORE_GROUPINGS)
        ]

    def __call__(self, frame: AnyFrame) -> list[Detection]:
        """The instances of all groupings, those of the usual one first."""
        given = prepared(frame)
        view = self._segmenters[0].view(given)
        votes = self._segmenters[0].votes(view)
        nothing = np.zeros((given.frame.camera.height, given.frame.camera.width), np.bool_)
        found: list[Detection] = []
        for segmenter in self._segmenters:
            for detection in segmenter.detections(view, votes, given.frame):
                found += new_detections([detection], found, nothing, SINGLE)
        return found

    def to_tensors(self) -> StoredStage:
        """What a model stores of the detector with its usual grouping."""
        return self._segmenters[0].to_tensors()


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading(f"Later looks and more proposals: {arguments.frames} unseen frames, parts >= 50 % visible")
    bundle = load_bundle(arguments.model)
    if not isinstance(bundle.segmenter, VoteSegmenter):
        raise BinposeError(
            f"A model with a {type(bundle.segmenter).__name__}; expected a VoteSegmenter; take another model."
        )
    views = unseen_views(bundle.objects, arguments.frames)
    many = replace(bundle.pipeline, segmenter=ManyGroupings(bundle.segmenter))
    pipelines = {
        "one look": replace(bundle.pipeline, look=SINGLE),
        "up to three looks": bundle.pipeline,
        "one look, five more groupings": replace(many, look=SINGLE),
        "up to three looks, five more groupings": many,
    }
    for budget_ms in arguments.budgets_ms:
        look = LookConfig(budget_ms=budget_ms)
        pipelines[f"up to three looks in {budget_ms:g} ms"] = replace(bundle.pipeline, look=look)
    header = ["", "recall", "precision", "AP", "ADD-S recall", "precision", "AP", "calibration error", "median ms"]
    table(header, [row(bundle, name, pipeline, views) for name, pipeline in pipelines.items()])
    print(f"\nThe first figures are ADD(-S), with 10 % of the diameter and score >= 0.5. Model {bundle.version[:12]}.")


def row(bundle: PipelineBundle, name: str, pipeline: Pipeline, views: Sequence[LabelledView]) -> list[str]:
    """The figures of one way to process the frames."""
    pipeline(views[0].frame)
    results = [pipeline.timed(view.frame) for view in views]
    cells, error = [name], 0.0
    for kind in ERRORS:
        config = EvaluationConfig(error=kind, min_visible_fraction=HALF_VISIBLE)
        frames = evaluate_views(views, [result.poses for result in results], bundle.objects, config)
        overall = summarise(frames, config).overall
        area = "-" if overall.curve is None else f"{overall.curve.average_precision:.3f}"
        cells += [f"{overall.recall:.1%}", "-" if overall.precision is None else f"{overall.precision:.1%}", area]
        error = error or reliability(*labelled_scores(frames)).expected_calibration_error
    median_ms = 1e3 * statistics.median(sum(result.seconds.values()) for result in results)
    return [*cells, f"{error:.3f}", f"{median_ms:.0f}"]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
