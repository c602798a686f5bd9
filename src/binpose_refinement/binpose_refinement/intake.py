"""From pose estimates to hypotheses that can be drawn, and why the others cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.types import Detection, Hypothesis, PoseEstimate
from binpose_refinement.batch import Batch, Workshop

FEWEST_MASK_PX = 4  # masks with fewer pixels tell no pose


@dataclass(frozen=True, eq=False)
class Intake:
    """What came in.

    batch: the hypotheses that can be drawn. rejected: poses without any, each with the reason.
    poses: all that came; owners: the place of each one's detection among the detections.
    """

    batch: Batch
    rejected: list[tuple[PoseEstimate, str]]
    poses: Sequence[PoseEstimate]
    owners: Sequence[int]

    def lost(self, batch: Batch) -> list[tuple[PoseEstimate, str]]:
        """The poses of detections that had hypotheses and have none in the batch."""
        gone = set(self.batch.owner.tolist()) - set(batch.owner.tolist())
        pairs = zip(self.poses, self.owners, strict=True)
        return [(pose, "lost_in_refinement") for pose, owner in pairs if owner in gone]


def take_in(
    workshop: Workshop, camera: Camera, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
) -> Intake:
    """Collect all hypotheses of the poses.

    Args:
        workshop: of the parts.
        camera: of the frame.
        detections: of the frame.
        poses: each from one of the detections.

    Raises:
        BinposeError: for a part that the workshop does not know, and for a pose of another detection.
    """
    owners = [_owner(pose, i, detections) for i, pose in enumerate(poses)]
    batch = _collected(workshop, poses, owners)
    reasons = workshop.unusable(batch, camera)
    small = np.array([detection.mask.sum() < FEWEST_MASK_PX for detection in detections], bool)
    reasons[small[batch.owner] & (reasons == "")] = "mask_too_small"
    judged = set(batch.owner[reasons == ""].tolist())
    rejected = [
        (pose, _reason(reasons[batch.owner == owner]))
        for pose, owner in zip(poses, owners, strict=True)
        if owner not in judged
    ]
    return Intake(batch.take(reasons == ""), rejected, poses, owners)


def unjudged(pose: PoseEstimate, reason: str) -> PoseEstimate:
    """The pose as it came, with score 0 and the reason among its residuals."""
    return PoseEstimate(
        pose.object_id,
        pose.T_cam_obj,
        0.0,
        detection=pose.detection,
        hypotheses=pose.hypotheses,
        residuals={reason: 1.0},
    )


def _owner(pose: PoseEstimate, index: int, detections: Sequence[Detection]) -> int:
    """The place of a pose's detection among the detections."""
    if pose.detection is None and index < len(detections):
        return index
    for i, detection in enumerate(detections):
        if detection is pose.detection:
            return i
    raise BinposeError(
        f"Pose {index} belongs to a detection that is not among the {len(detections)} given; "
        "pass the detections from which the poses were estimated."
    )


def _collected(workshop: Workshop, poses: Sequence[PoseEstimate], owners: Sequence[int]) -> Batch:
    rows = [
        (owner, _part(workshop, h.object_id), h.T_cam_obj, h.score)
        for owner, pose in zip(owners, poses, strict=True)
        for h in (pose.hypotheses or (Hypothesis(pose.object_id, pose.T_cam_obj, pose.score),))
    ]
    owner, part, T, confidence = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Batch(
        np.array(owner, np.int64), np.array(part, np.int64), np.array(T, np.float64).reshape(-1, 4, 4),
        np.nan_to_num(np.array(confidence, np.float64)),
    )  # fmt: skip


def _part(workshop: Workshop, object_id: str) -> int:
    if object_id not in workshop.ids:
        raise BinposeError(
            f"A hypothesis of object {object_id!r}; the refiner knows {', '.join(workshop.ids)}; "
            "give it that object's model, or use the model bundle that belongs to the estimator."
        )
    return workshop.ids.index(object_id)


def _reason(reasons: npt.NDArray[np.object_]) -> str:
    return str(reasons[0]) if len(reasons) else "no_hypothesis"
