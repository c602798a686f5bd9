"""Collects the hypotheses of pose estimates that can be rendered, and the reasons why others cannot."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError, UnknownObject
from binpose_core.base.finite import finite_or_zero
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.overlap import on_mask

FEWEST_MASK_PX = 4  # masks with fewer pixels do not constrain a pose
NOWHERE_M = 1.0
"""Distance at which a pose that is not finite is placed, where the detection has no depth."""


@dataclass(frozen=True, eq=False)
class CollectedHypotheses:
    """Hypotheses that can be refined, and the poses without any.

    batch: the hypotheses that can be refined. rejected: poses without any, each with the reason.
    poses: all that came, finite, with their detection_index; owners: the same places.
    """

    batch: HypothesisBatch
    rejected: list[tuple[PoseEstimate, str]]
    poses: Sequence[PoseEstimate]
    owners: Sequence[int]


def collect_hypotheses(
    part_renderer: PartRenderer,
    camera: Camera,
    detections: Sequence[Detection],
    poses: Sequence[PoseEstimate],
    reach: float,
) -> CollectedHypotheses:
    """Collect all hypotheses of the poses.

    Args:
        part_renderer: of the parts.
        camera: of the frame.
        detections: of the frame.
        poses: each from one of the detections.
        reach: how far outside its detection's mask a pose may lie and still be refined, as a fraction of the diameter.

    Raises:
        BinposeError: for a part that `part_renderer` does not hold, or a pose of a detection that is not given.
    """
    owners = [owner_of(pose, i, detections) for i, pose in enumerate(poses)]
    batch = _collected(part_renderer, poses, owners)
    reasons = part_renderer.unusable(batch, camera)
    small = np.array([detection.mask.sum() < FEWEST_MASK_PX for detection in detections], bool)
    reasons[small[batch.owner] & (reasons == "")] = "mask_too_small"
    drawable = np.flatnonzero(reasons == "")
    overlapping = on_mask(part_renderer, camera, detections, batch.take(drawable), reach)
    reasons[drawable[~overlapping]] = "no_overlap"
    usable = set(batch.owner[reasons == ""].tolist())
    finite = [_finite(pose, owner, detections[owner], camera) for pose, owner in zip(poses, owners, strict=True)]
    rejected = [
        (pose, _reason(reasons[batch.owner == owner]))
        for pose, owner in zip(finite, owners, strict=True)
        if owner not in usable
    ]
    return CollectedHypotheses(batch.take(reasons == ""), rejected, finite, owners)


def rejected_pose(pose: PoseEstimate, reason: str) -> PoseEstimate:
    """The unchanged pose with score 0 and the reason among its residuals."""
    return PoseEstimate(
        pose.object_id,
        pose.T_cam_obj,
        0.0,
        detection_index=pose.detection_index,
        hypotheses=pose.hypotheses,
        residuals={reason: 1.0},
    )


def lost_detections(before: HypothesisBatch, after: HypothesisBatch, reason: str) -> dict[int, str]:
    """The reason for each detection that has hypotheses in `before` and none in `after`."""
    return dict.fromkeys(set(before.owner.tolist()) - set(after.owner.tolist()), reason)


def _finite(pose: PoseEstimate, owner: int, detection: Detection, camera: Camera) -> PoseEstimate:
    """The pose with its finite hypotheses; a pose that is not finite is placed, unrotated, at the detection."""
    hypotheses = tuple(h for h in pose.hypotheses if np.isfinite(h.T_cam_obj).all())
    pose = replace(pose, detection_index=owner, hypotheses=hypotheses)
    if np.isfinite(pose.T_cam_obj).all():
        return pose
    (u, v), z = detection.center_px, detection.center_depth_m
    z = z if np.isfinite(z) and z > 0 else NOWHERE_M
    T: FloatArray = np.eye(4)
    T[:3, 3] = np.nan_to_num([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z])
    return replace(pose, T_cam_obj=T)


def owner_of(pose: PoseEstimate, index: int, detections: Sequence[Detection]) -> int:
    """The index of a pose's detection; the index of the pose itself if it has none.

    Raises:
        BinposeError: for a detection that is not given.
    """
    owner = index if pose.detection_index is None else pose.detection_index
    if not 0 <= owner < len(detections):
        raise BinposeError(
            f"Pose {index} belongs to detection {owner}, which is not among the {len(detections)} given; "
            "pass the detections from which the poses were estimated."
        )
    return owner


def _collected(part_renderer: PartRenderer, poses: Sequence[PoseEstimate], owners: Sequence[int]) -> HypothesisBatch:
    rows = [
        (owner, _part(part_renderer, h.object_id), h.T_cam_obj, h.score)
        for owner, pose in zip(owners, poses, strict=True)
        for h in (pose.hypotheses or (Hypothesis(pose.object_id, pose.T_cam_obj, pose.score),))
    ]
    owner, part, T, confidence = zip(*rows, strict=True) if rows else ((), (), (), ())
    return HypothesisBatch(
        np.array(owner, np.int64), np.array(part, np.int64), np.array(T, np.float64).reshape(-1, 4, 4),
        finite_or_zero(confidence),
    )  # fmt: skip


def _part(part_renderer: PartRenderer, object_id: str) -> int:
    if object_id not in part_renderer.ids:
        raise UnknownObject(
            f"A hypothesis of object {object_id!r}; the refiner knows {', '.join(part_renderer.ids)}; "
            "give it that object's model, or use the model bundle that belongs to the estimator.",
            [object_id],
            part_renderer.ids,
        )
    return part_renderer.ids.index(object_id)


def _reason(reasons: npt.NDArray[np.object_]) -> str:
    return str(reasons[0]) if len(reasons) else "no_hypothesis"
