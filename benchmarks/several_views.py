"""Recall and precision with one view and with several views of each simulated bin.

python benchmarks/several_views.py [--model demo] [--piles 12] [--views 3]

The piles are those of `scenes.EVALUATION_SEED`. A part counts if at least half of it is visible in one of the views.
With an error of the camera poses, each camera is shifted by that distance in a random direction and turned by a random
rotation of as many milliradians per 5/3 mm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tyro

from binpose_core.base.settings import check_bounds, setting
from binpose_core.evaluation.matching import (
    HALF_VISIBLE,
    EvaluationConfig,
    Evaluator,
    FrameEvaluation,
    FrameTruth,
    GroundTruth,
    labelled_scores,
)
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.evaluation.scores import summarise
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation, inverse
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.bundle import load_bundle
from binpose_pipeline.pipeline import TimedResult
from binpose_pipeline.scene.bin_evaluation import joined_truth
from binpose_pipeline.scene.scene_estimator import SceneEstimator, SceneResult
from binpose_refinement.reliability import reliability
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import SimulatedView, simulate_pile
from binpose_simulation.stream import PILES, SETS
from binpose_simulation.view_set_config import ViewSetConfig
from binpose_simulation.view_sets import view_set
from common import heading, table
from scenes import EVALUATION_SEED, scene_of, stored_bins

ERRORS_MM = (0.0, 2.0, 5.0)
TURN_RAD_PER_M = 0.6
HEADER = ["views", "camera error", "parts", "found", "right of reported", "average precision", "calibration error",
          "median error / diameter", "alone"]  # fmt: skip


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. piles: how many. views: of each pile."""

    model: str = "demo"
    piles: int = setting(12, bounds=(1, 10_000))
    views: int = setting(3, bounds=(2, 100))

    def __post_init__(self) -> None:
        check_bounds(self)


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    a = arguments
    heading(f"Several views: {a.piles} piles, {a.views} views each, parts >= 50 % visible in one of them, ADD(-S)")
    bundle = load_bundle(a.model)
    sets = view_sets(bundle.objects, a.piles, a.views)
    results = [[bundle.pipeline.timed(view.frame) for view in views] for views in sets]
    judge = Judge(bundle.objects)
    rows = []
    for number in range(a.views):
        frames = [judge.one_view(views, number, own[number]) for views, own in zip(sets, results, strict=True)]
        rows.append([f"view {number + 1} alone", "-", *judge.row(frames), "-"])
    estimator = SceneEstimator(bundle.objects, bundle.pipeline)
    for error_mm in ERRORS_MM:
        rng = np.random.default_rng(EVALUATION_SEED)
        frames, alone = [], 0
        for views, own in zip(sets, results, strict=True):
            given = [CameraView(view.frame, disturbed(inverse(view.T_cam_world), rng, error_mm)) for view in views]
            result = estimator.join(given, own)
            alone += len(views) - len(result.together)
            frames.append(judge.together(views, result, own))
        rows.append([f"{a.views} together", f"{error_mm:g} mm", *judge.row(frames), str(alone)])
    table(HEADER, rows)
    print(f"model {bundle.version[:12]}")


def view_sets(
    objects: Mapping[str, ObjectModel], piles: int, views: int, seed: int = EVALUATION_SEED
) -> list[list[SimulatedView]]:
    """Views of piles; of the benchmarks' seed those that are stored first."""
    scene, config = scene_of(objects), ViewSetConfig(views)
    stored = [bin_.pile for bin_ in stored_bins(objects, scene)][:piles] if seed == EVALUATION_SEED else []
    parts = as_prepared(objects, scene.content) if len(stored) < piles else {}
    found = []
    for number in range(piles):
        pile = (
            stored[number]
            if number < len(stored)
            else simulate_pile(np.random.default_rng([seed, PILES, number]), parts, scene)
        )
        rng = np.random.default_rng([seed, SETS, number])
        found.append(list(view_set(pile, rng, scene, config)))
    return found


def disturbed(T_world_cam: FloatArray, rng: np.random.Generator, error_mm: float) -> FloatArray:
    """A camera pose (4, 4) with an error of this size."""
    shift, turn = (vector / np.linalg.norm(vector) * error_mm * 1e-3 for vector in rng.normal(size=(2, 3)))
    rotation = exp_so3(turn * TURN_RAD_PER_M) @ T_world_cam[:3, :3]
    return from_rotation_translation(rotation, T_world_cam[:3, 3] + shift)


class Judge:
    """Compares estimates with the parts that at least one view shows, in the camera of the first view used."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self._objects = objects
        self.config = EvaluationConfig(error="add_s", min_visible_fraction=HALF_VISIBLE)
        self.evaluator = Evaluator({name: PartErrors(model) for name, model in objects.items()}, self.config)

    def one_view(self, views: Sequence[SimulatedView], number: int, result: TimedResult) -> FrameEvaluation:
        """A view's own poses."""
        return self.evaluator("", FrameTruth(self._truths(views, number)), result.poses)

    def together(
        self, views: Sequence[SimulatedView], result: SceneResult, own: Sequence[TimedResult]
    ) -> FrameEvaluation:
        """The poses of the bin; where the views were not used together, those of the first alone."""
        if not result.together:
            return self.one_view(views, 0, own[0])
        first = result.together[0]
        poses: list[PoseEstimate] = [pose.in_camera(result.T_world_cam[first]) for pose in result.poses]
        return self.evaluator("", FrameTruth(self._truths(views, first)), poses)

    def _truths(self, views: Sequence[SimulatedView], number: int) -> list[GroundTruth]:
        """All parts of the pile in one camera, each with its largest visible fraction."""
        T = views[number].T_cam_world
        return [replace(part, T_cam_obj=T @ part.T_cam_obj) for part in self.world_truths(views)]

    def world_truths(self, views: Sequence[SimulatedView]) -> list[GroundTruth]:
        """All parts of the pile in the world, each with its largest visible fraction."""
        parts = [
            [GroundTruth(*part) for part in zip(view.object_ids, view.T_cam_obj, view.visible_fraction, strict=True)]
            for view in views
        ]
        return joined_truth([inverse(view.T_cam_world) for view in views], parts, self._objects)

    def row(self, frames: Sequence[FrameEvaluation]) -> list[str]:
        """The cells of a row of the table."""
        score = summarise(frames, self.config).overall
        error = reliability(*labelled_scores(frames)).expected_calibration_error
        return [
            str(score.n_parts),
            f"{score.recall:.1%}",
            "-" if score.precision is None else f"{score.precision:.1%}",
            "-" if score.curve is None else f"{score.curve.average_precision:.3f}",
            f"{error:.3f}",
            f"{score.median_error:.2%}",
        ]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
