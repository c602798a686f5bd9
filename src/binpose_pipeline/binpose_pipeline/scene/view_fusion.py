"""From several views of one resting bin to one list of poses in the world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.pipeline import TimedResult
from binpose_pipeline.scene.alike_poses import AlikePoses, in_camera, moved_covariance
from binpose_pipeline.scene.config import ViewFusionConfig
from binpose_pipeline.scene.scene_evidence import fused_scores, rank_of, scene_evidence
from binpose_pipeline.scene.view_agreement import ViewAgreement, ViewMeasurer
from binpose_pipeline.scene.world_hypotheses import WorldHypothesis, join_hypotheses, view_hypotheses
from binpose_refinement.suppression import CollisionCheck


@dataclass(frozen=True, eq=False)
class ScenePose:
    """A part's pose in the world.

    T_world_obj: (4, 4) float64, metres.
    score: probability in [0, 1] that the pose is right.
    covariance: (6, 6) of (translation in m, rotation vector in rad) in the world frame, or None.
    views: indices of the views whose networks propose it.
    log_odds: of each view, NaN where it says nothing.
    visible: fraction of the silhouette that each view sees.
    residuals: named measurements.
    """

    object_id: str
    T_world_obj: FloatArray
    score: float
    covariance: FloatArray | None = None
    views: tuple[int, ...] = ()
    log_odds: tuple[float, ...] = ()
    visible: tuple[float, ...] = ()
    residuals: Mapping[str, float] = field(default_factory=dict)

    def in_camera(self, T_world_cam: FloatArray) -> PoseEstimate:
        """The same pose in a camera (4, 4)."""
        T_cam_world = inverse(np.asarray(T_world_cam))
        covariance = None if self.covariance is None else moved_covariance(self.covariance, T_cam_world)
        return PoseEstimate(
            self.object_id,
            T_cam_world @ self.T_world_obj,
            self.score,
            covariance=covariance,
            residuals=dict(self.residuals),
        )


@dataclass(frozen=True, eq=False)
class MeasuredHypotheses:
    """World hypotheses (H) and what each view (V) says about them."""

    hypotheses: Sequence[WorldHypothesis]
    agreements: Sequence[ViewAgreement]


class ViewFusion:
    """Joins the results of several views.

    Args:
        objects: the parts by id, in the order of the refiner's.
        measurer: measures poses in other views.
        config: settings.
    """

    def __init__(
        self, objects: Mapping[str, ObjectModel], measurer: ViewMeasurer, config: ViewFusionConfig | None = None
    ) -> None:
        self.config = config or ViewFusionConfig()
        self._ids = list(objects)
        self._alike = AlikePoses(objects)
        self._measurer = measurer
        self._collision_check = CollisionCheck(objects)

    def __call__(self, views: Sequence[CameraView], results: Sequence[TimedResult]) -> list[ScenePose]:
        """The parts of the scene, best score first."""
        return self.select(views, self.measured(views, results))

    def measured(self, views: Sequence[CameraView], results: Sequence[TimedResult]) -> MeasuredHypotheses:
        """All hypotheses in the world, each measured in every view."""
        found = [
            hypothesis
            for number, (view, result) in enumerate(zip(views, results, strict=True))
            for hypothesis in view_hypotheses(number, view.T_world_cam, result.poses, self.config)
        ]
        joined = join_hypotheses(found, self._alike, self.config)
        names = [hypothesis.object_id for hypothesis in joined]
        T_world_obj = np.reshape([hypothesis.T_world_obj for hypothesis in joined], (-1, 4, 4))
        agreements = [
            self._measurer(view.frame, result.detections, names, in_camera(view.T_world_cam, T_world_obj))
            for view, result in zip(views, results, strict=True)
        ]
        return MeasuredHypotheses(joined, agreements)

    def select(self, views: Sequence[CameraView], measured: MeasuredHypotheses) -> list[ScenePose]:
        """Poses that neither repeat nor penetrate better ones, with fused scores and covariances."""
        evidence = scene_evidence(measured.hypotheses, measured.agreements, self.config)
        scores, claims = fused_scores(evidence, self.config), _Claims(views)
        accepted: list[ScenePose] = []
        for i in np.argsort(-rank_of(evidence, self.config), kind="stable"):
            pixels = [agreement.pixels[i] for agreement in measured.agreements]
            if claims.fraction(pixels) > self.config.claimed:
                continue
            pose = self._scene_pose(views, measured, int(i), float(scores[i]))
            if any(self._intrusion(pose, other) > self.config.intrusion for other in accepted):
                continue
            claims.claim(pixels)
            accepted.append(pose)
        return sorted(accepted, key=lambda pose: -pose.score)

    def _scene_pose(self, views: Sequence[CameraView], measured: MeasuredHypotheses, i: int, score: float) -> ScenePose:
        """The mean of the poses refined in each view that sees the part, weighted by their information."""
        c, hypothesis = self.config, measured.hypotheses[i]
        poses, covariances = [], []
        for view, agreement in zip(views, measured.agreements, strict=True):
            covariance = agreement.covariances[i]
            if covariance is not None and agreement.visible[i] >= c.least_visible and agreement.log_odds[i] > 0:
                poses.append(view.T_world_cam @ agreement.T_cam_obj[i])
                covariances.append(moved_covariance(covariance, view.T_world_cam))
        T, fused = hypothesis.T_world_obj, hypothesis.members[0].covariance
        if poses:
            mean = self._alike.mean(hypothesis.object_id, poses, covariances)
            T, fused = self._alike.nearest(hypothesis.object_id, mean.T, T), mean.covariance
        return ScenePose(
            hypothesis.object_id,
            T,
            score,
            fused,
            tuple(sorted(hypothesis.views)),
            tuple(float(agreement.log_odds[i]) for agreement in measured.agreements),
            tuple(float(agreement.visible[i]) for agreement in measured.agreements),
        )

    def _intrusion(self, a: ScenePose, b: ScenePose) -> float:
        part_a, part_b = (self._ids.index(pose.object_id) for pose in (a, b))
        return self._collision_check.intrusion(part_a, a.T_world_obj, part_b, b.T_world_obj)


class _Claims:
    """Pixels of all views that accepted poses explain."""

    def __init__(self, views: Sequence[CameraView]) -> None:
        self._taken = [np.zeros(view.frame.camera.height * view.frame.camera.width, np.bool_) for view in views]

    def fraction(self, pixels: Sequence[npt.NDArray[np.int64]]) -> float:
        """Fraction of the pixels of all views that are taken; 0 without any."""
        taken = sum(int(mask[own].sum()) for mask, own in zip(self._taken, pixels, strict=True))
        return taken / max(sum(map(len, pixels)), 1)

    def claim(self, pixels: Sequence[npt.NDArray[np.int64]]) -> None:
        """Take the pixels."""
        for mask, own in zip(self._taken, pixels, strict=True):
            mask[own] = True
