"""From several views of one resting bin to one list of poses in the world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.types import Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.pipeline import TimedResult
from binpose_pipeline.scene.alike_poses import AlikePoses, in_camera, moved_covariance
from binpose_pipeline.scene.config import ViewFusionConfig
from binpose_pipeline.scene.scene_evidence import fused_scores, rank_of, scene_evidence
from binpose_pipeline.scene.view_agreement import ViewAgreement, ViewMeasurer
from binpose_pipeline.scene.world_hypotheses import WorldHypothesis, join_hypotheses, view_hypotheses
from binpose_refinement.suppression import CollisionCheck
from binpose_refinement.verified import remaining_probability

NOBODY = -1


@dataclass(frozen=True, eq=False)
class SceneAlternative:
    """Another pose in the world that the views allow in place of a part's, and its probability."""

    object_id: str
    T_world_obj: FloatArray
    score: float


@dataclass(frozen=True, eq=False)
class ScenePose:
    """A part's pose in the world.

    T_world_obj: (4, 4) float64, metres.
    score: probability in [0, 1] that the pose is right.
    covariance: (6, 6) of (translation in m, rotation vector in rad) in the world frame, or None.
    views: indices of the views whose networks propose it.
    log_odds: of each view, NaN where it says nothing.
    visible: fraction of the silhouette that each view sees.
    residuals: the fields of `SceneEvidence`.
    alternatives: other poses that explain the same pixels, most probable first; at most one of all is right.
    """

    object_id: str
    T_world_obj: FloatArray
    score: float
    covariance: FloatArray | None = None
    views: tuple[int, ...] = ()
    log_odds: tuple[float, ...] = ()
    visible: tuple[float, ...] = ()
    residuals: Mapping[str, float] = field(default_factory=dict)
    alternatives: tuple[SceneAlternative, ...] = ()

    def in_camera(self, T_world_cam: FloatArray) -> PoseEstimate:
        """The same pose in a camera (4, 4); its hypotheses are the pose itself and the alternatives."""
        T_cam_world = inverse(np.asarray(T_world_cam))
        covariance = None if self.covariance is None else moved_covariance(self.covariance, T_cam_world)
        own = SceneAlternative(self.object_id, self.T_world_obj, self.score)
        return PoseEstimate(
            self.object_id,
            T_cam_world @ self.T_world_obj,
            self.score,
            covariance=covariance,
            hypotheses=tuple(
                Hypothesis(pose.object_id, T_cam_world @ pose.T_world_obj, pose.score)
                for pose in (own, *self.alternatives)
            ),
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
        rivals: list[list[ScenePose]] = []
        for i in np.argsort(-rank_of(evidence, self.config), kind="stable"):
            pixels = [agreement.pixels[i] for agreement in measured.agreements]
            pose = self._scene_pose(views, measured, int(i), float(scores[i]), evidence.of(int(i)))
            if claims.fraction(pixels) > self.config.claimed:
                rivals[claims.owner(pixels)].append(pose)
                continue
            if any(self.excludes(pose, other) for other in accepted):
                continue
            claims.claim(pixels, len(accepted))
            accepted.append(pose)
            rivals.append([])
        poses = [_with_alternatives(pose, others) for pose, others in zip(accepted, rivals, strict=True)]
        return sorted(poses, key=lambda pose: -pose.score)

    def excludes(self, a: ScenePose, b: ScenePose) -> bool:
        """Whether two poses penetrate each other."""
        part_a, part_b = (self._ids.index(pose.object_id) for pose in (a, b))
        intrusion = self._collision_check.intrusion(part_a, a.T_world_obj, part_b, b.T_world_obj)
        return intrusion > self.config.intrusion

    def _scene_pose(
        self, views: Sequence[CameraView], measured: MeasuredHypotheses, i: int, score: float,
        residuals: Mapping[str, float],
    ) -> ScenePose:  # fmt: skip
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
            residuals,
        )


class _Claims:
    """Pixels of all views that accepted poses explain, with the number of the pose."""

    def __init__(self, views: Sequence[CameraView]) -> None:
        sizes = [view.frame.camera.height * view.frame.camera.width for view in views]
        self._owners = [np.full(size, NOBODY, np.int32) for size in sizes]

    def fraction(self, pixels: Sequence[npt.NDArray[np.int64]]) -> float:
        """Fraction of the pixels of all views that are taken; 0 without any."""
        return len(self._taken(pixels)) / max(sum(map(len, pixels)), 1)

    def owner(self, pixels: Sequence[npt.NDArray[np.int64]]) -> int:
        """The number of the pose that explains most of the pixels, of which some are taken."""
        return int(np.bincount(self._taken(pixels)).argmax())

    def claim(self, pixels: Sequence[npt.NDArray[np.int64]], number: int) -> None:
        """Take the pixels that are free."""
        for owners, own in zip(self._owners, pixels, strict=True):
            owners[own[owners[own] == NOBODY]] = number

    def _taken(self, pixels: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int32]:
        """(N,) numbers of the poses that explain pixels already."""
        found = np.concatenate([owners[own] for owners, own in zip(self._owners, pixels, strict=True)])
        return np.asarray(found[found != NOBODY])


def _with_alternatives(pose: ScenePose, others: Sequence[ScenePose]) -> ScenePose:
    """A pose with those that it suppressed, which share the probability that it leaves."""
    ranked = sorted(others, key=lambda other: -other.score)
    scores = remaining_probability(pose.score, np.array([other.score for other in ranked]))
    found = zip(ranked, scores.tolist(), strict=True)
    return replace(
        pose, alternatives=tuple(SceneAlternative(other.object_id, other.T_world_obj, score) for other, score in found)
    )
