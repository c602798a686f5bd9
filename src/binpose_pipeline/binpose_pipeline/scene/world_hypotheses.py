"""The hypotheses of all views in one world frame, those of one part joined."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_pipeline.scene.alike_poses import AlikePoses, moved_covariance
from binpose_pipeline.scene.config import ViewFusionConfig


@dataclass(frozen=True, eq=False)
class ViewHypothesis:
    """A pose that one view proposes: view, place of its detection there, score, and covariance (6, 6) if known."""

    view: int
    detection_index: int | None
    object_id: str
    T_world_obj: FloatArray
    score: float
    covariance: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class WorldHypothesis:
    """A possible part of the scene and the views that propose it, best score first."""

    object_id: str
    T_world_obj: FloatArray
    members: tuple[ViewHypothesis, ...]

    @property
    def score(self) -> float:
        """The best score of a single view."""
        return self.members[0].score

    @property
    def views(self) -> frozenset[int]:
        """The views that propose it."""
        return frozenset(member.view for member in self.members)


def view_hypotheses(
    view: int, T_world_cam: FloatArray, poses: Sequence[PoseEstimate], config: ViewFusionConfig
) -> list[ViewHypothesis]:
    """The poses of a view, also those below the threshold, and the other hypotheses of their detections."""
    found = []
    for pose in poses:
        if not pose.score >= config.start_score:
            continue
        T, owner = T_world_cam @ pose.T_cam_obj, pose.detection_index
        covariance = None if pose.covariance is None else moved_covariance(pose.covariance, T_world_cam)
        found.append(ViewHypothesis(view, owner, pose.object_id, T, float(pose.score), covariance))
        others = [h for h in pose.hypotheses if not np.array_equal(h.T_cam_obj, pose.T_cam_obj)]
        for other in others[: config.hypotheses]:
            if other.score >= config.start_hypothesis:
                T = T_world_cam @ other.T_cam_obj
                found.append(ViewHypothesis(view, owner, other.object_id, T, float(other.score)))
    return found


def join_hypotheses(
    hypotheses: Sequence[ViewHypothesis], alike: AlikePoses, config: ViewFusionConfig
) -> list[WorldHypothesis]:
    """Join those of one part, best score first; the order of the views does not matter.

    The joined pose is the information-weighted mean of at most one pose from each view.
    """
    groups: list[list[ViewHypothesis]] = []
    for hypothesis in sorted(hypotheses, key=_rank):
        near = [group for group in groups if _is_near(hypothesis, group[0], alike, config.same_pose)]
        if not near:
            groups.append([hypothesis])
        elif hypothesis.view not in {member.view for member in near[0]}:
            near[0].append(hypothesis)
    return [_joined(group, alike) for group in groups]


def _rank(hypothesis: ViewHypothesis) -> tuple[float, str, tuple[float, ...]]:
    return -hypothesis.score, hypothesis.object_id, tuple(hypothesis.T_world_obj.ravel().tolist())


def _is_near(a: ViewHypothesis, b: ViewHypothesis, alike: AlikePoses, same_pose: float) -> bool:
    if a.object_id != b.object_id:
        return False
    part = alike.objects[a.object_id]
    centers = part.center_in(np.stack([a.T_world_obj, b.T_world_obj]))
    if np.linalg.norm(centers[0] - centers[1]) > 2 * same_pose * part.diameter_m:
        return False
    return alike.distance_m(a.object_id, a.T_world_obj, b.T_world_obj) < same_pose * part.diameter_m


def _joined(group: Sequence[ViewHypothesis], alike: AlikePoses) -> WorldHypothesis:
    best = group[0]
    known = [member for member in group if member.covariance is not None]
    if best.covariance is None or len(known) < 2:
        return WorldHypothesis(best.object_id, best.T_world_obj, tuple(group))
    poses = [member.T_world_obj for member in known]
    mean = alike.mean(best.object_id, poses, [m.covariance for m in known if m.covariance is not None])
    return WorldHypothesis(best.object_id, alike.nearest(best.object_id, mean.T, best.T_world_obj), tuple(group))
