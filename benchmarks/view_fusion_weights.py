"""Fits the weights with which the evidence of several views is combined, on simulated piles of their own seed.

python benchmarks/view_fusion_weights.py [--model demo] [--piles 40] [--views 3]

The weights of the rank maximise the likelihood of which hypotheses are right; those of the score, of which selected
poses are. Both are non-negative, as more evidence never counts against a pose. The table shows the result of each fold
with the weights of the others. The values are printed as fields of `ViewFusionConfig`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import tyro
from scipy.optimize import minimize

from binpose_core.base.settings import check_bounds, setting
from binpose_core.evaluation.matching import FrameEvaluation, GroundTruth, is_right
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.camera_view import CameraView
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.bundle import load_bundle
from binpose_pipeline.pipeline import Pipeline, TimedResult
from binpose_pipeline.scene.camera_residuals import no_residuals
from binpose_pipeline.scene.config import ViewFusionConfig
from binpose_pipeline.scene.scene_estimator import SceneResult
from binpose_pipeline.scene.scene_evidence import scene_evidence
from binpose_pipeline.scene.view_agreement import ViewMeasurer
from binpose_pipeline.scene.view_fusion import MeasuredHypotheses, ScenePose, ViewFusion
from binpose_pipeline.scene.world_hypotheses import WorldHypothesis
from binpose_simulation.scene import SimulatedView
from common import heading, table
from several_views import HEADER, Judge, view_sets

FIT_SEED = 730_003
"""Used for nothing else."""
FOLDS = 4
RIDGE = 1e-3
RANK = ("own", "first", "proposed", "measured", "free", "pixels")
SCORE = ("own", "views", "free")


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. piles: how many. views: of each pile."""

    model: str = "demo"
    piles: int = setting(40, bounds=(FOLDS, 10_000))
    views: int = setting(3, bounds=(2, 100))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, eq=False)
class Pile:
    """A pile's views, the result of each view alone, what all views say, and the parts in the world."""

    views: Sequence[SimulatedView]
    cameras: Sequence[CameraView]
    own: Sequence[TimedResult]
    measured: MeasuredHypotheses
    truths: Sequence[GroundTruth]


class Fit:
    """Fits the weights and measures them.

    Args:
        objects: the parts by id.
        pipeline: estimates each view.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], pipeline: Pipeline) -> None:
        self._objects, self._pipeline = objects, pipeline
        self._measurer = ViewMeasurer(objects, pipeline.refiner, ViewFusionConfig())
        self._errors = {name: PartErrors(part) for name, part in objects.items()}
        self.judge = Judge(objects)

    def pile(self, views: Sequence[SimulatedView]) -> Pile:
        """Everything about a pile that no weight changes."""
        cameras = [CameraView(view.frame, inverse(view.T_cam_world)) for view in views]
        own = [self._pipeline.timed(view.frame) for view in views]
        measured = self._fusion(ViewFusionConfig()).measured(cameras, own)
        return Pile(views, cameras, own, measured, self.judge.world_truths(views))

    def __call__(self, piles: Sequence[Pile]) -> ViewFusionConfig:
        """The settings with weights fitted on piles: first those of the rank, which decide what is selected."""
        known = [(pose, pile) for pile in piles for pose in pile.measured.hypotheses]
        evidence = [self._evidence(pile, i) for pile in piles for i in range(len(pile.measured.hypotheses))]
        config = self._fitted(ViewFusionConfig(), "rank", RANK, evidence, [self._right(*one) for one in known])
        selected = [(pose, pile) for pile in piles for pose in self.poses(config, pile)]
        residuals = [pose.residuals for pose, _ in selected]
        return self._fitted(config, "score", SCORE, residuals, [self._right(*one) for one in selected])

    def poses(self, config: ViewFusionConfig, pile: Pile) -> list[ScenePose]:
        """The poses of a pile with these weights."""
        return self._fusion(config).select(pile.cameras, pile.measured)

    def evaluation(self, config: ViewFusionConfig, pile: Pile) -> FrameEvaluation:
        """The same, compared with the truth."""
        poses, T = tuple(self.poses(config, pile)), tuple(view.T_world_cam for view in pile.cameras)
        every = tuple(range(len(T)))
        result = SceneResult(poses, (), T, every, no_residuals(len(T)), (), tuple(pile.own))
        return self.judge.together(pile.views, result, pile.own)

    def _fusion(self, config: ViewFusionConfig) -> ViewFusion:
        return ViewFusion(self._objects, self._measurer, config)

    @staticmethod
    def _evidence(pile: Pile, i: int) -> dict[str, float]:
        return scene_evidence(pile.measured.hypotheses, pile.measured.agreements, ViewFusionConfig()).of(i)

    def _right(self, pose: WorldHypothesis | ScenePose, pile: Pile) -> bool | None:
        return is_right(pose.object_id, pose.T_world_obj, pile.truths, self._errors, self.judge.config)

    @staticmethod
    def _fitted(
        config: ViewFusionConfig, prefix: str, names: Sequence[str], evidence: Sequence[Mapping[str, float]],
        right: Sequence[bool | None],
    ) -> ViewFusionConfig:  # fmt: skip
        rows = [[one[name] for name in names] for one, known in zip(evidence, right, strict=True) if known is not None]
        weights, offset = logistic(np.array(rows), np.array([known for known in right if known is not None], float))
        values = {f"{prefix}_{name}": round(float(w), 2) for name, w in zip(names, weights, strict=True)}
        values["score_offset"] = round(offset, 2) if prefix == "score" else config.score_offset
        return replace(config, **values)


def logistic(x: FloatArray, y: FloatArray) -> tuple[FloatArray, float]:
    """Weights (F,) >= 0 and offset of the log-odds that samples (N, F) are right (N,), by penalised likelihood."""

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        weights, offset = parameters[:-1], parameters[-1]
        logits = x @ weights + offset
        loss = np.mean(np.logaddexp(0.0, logits) - y * logits) + RIDGE * weights @ weights
        error = (1.0 / (1.0 + np.exp(-logits)) - y) / len(y)
        return float(loss), np.append(x.T @ error + 2 * RIDGE * weights, error.sum())

    bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
    best = minimize(objective, np.append(np.ones(x.shape[1]), 0.0), jac=True, method="L-BFGS-B", bounds=bounds).x
    return best[:-1], float(best[-1])


def main(arguments: Arguments) -> None:
    """Fit, cross-validate and print."""
    heading(f"Weights of the evidence of several views: {arguments.piles} piles, {arguments.views} views each")
    bundle = load_bundle(arguments.model)
    fit = Fit(bundle.objects, bundle.pipeline)
    piles = [fit.pile(views) for views in view_sets(bundle.objects, arguments.piles, arguments.views, FIT_SEED)]
    folds = [piles[i::FOLDS] for i in range(FOLDS)]
    crossed = []
    for fold in folds:
        config = fit([pile for pile in piles if not any(pile is other for other in fold)])
        crossed += [fit.evaluation(config, pile) for pile in fold]
    given = [fit.evaluation(ViewFusionConfig(), pile) for pile in piles]
    rows = [[name, "0 mm", *fit.judge.row(frames), "-"] for name, frames in
            (("as configured", given), ("weights of the other folds", crossed))]  # fmt: skip
    table(["weights", *HEADER[1:]], rows)
    best = fit(piles)
    weights = (f.name for f in fields(best) if f.name.startswith(("rank_", "score_")))
    print("\n" + ", ".join(f"{name}={getattr(best, name):.2f}" for name in weights))
    print(f"model {bundle.version[:12]}, seed {FIT_SEED}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
