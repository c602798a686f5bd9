"""PoseEstimates <-> vision_msgs/Detection3DArray, and the transforms of found parts.

Covariances are those of geometry_msgs: position, then rotation about the fixed axes of the camera frame, which for the
small angles of an estimate is the rotation vector that binpose uses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from binpose_core.errors import BinposeError
from binpose_core.geometry import (
    FloatArray,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    rotation_from_quat_xyzw,
)
from binpose_core.objects import ObjectModel
from binpose_core.types import Detection, Hypothesis, PoseEstimate
from binpose_ros.detections import NO_COVARIANCE, instance_id, split_id
from binpose_ros.stamps import Header, to_header


def to_matrix(pose: Any) -> FloatArray:
    """T (4, 4) of a geometry_msgs/Pose."""
    p, q = pose.position, pose.orientation
    return from_rotation_translation(
        rotation_from_quat_xyzw(np.array([q.x, q.y, q.z, q.w], np.float64)), np.array([p.x, p.y, p.z], np.float64)
    )


def from_matrix(T: FloatArray, types: Any) -> Any:
    """A geometry_msgs/Pose of T (4, 4)."""
    return types.Pose(position=_vector(T[:3, 3], types.Point), orientation=_quaternion(T, types))


def from_poses(
    poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], header: Header, version: str, types: Any
) -> Any:
    """The Detection3DArray: results[0] is the pose, the others are the rest of its hypotheses, best first.

    The id of each is "<first digits of the model's version>/<index>".
    """
    stamp = to_header(header, types)
    entries = [
        types.Detection3D(
            header=stamp,
            results=[_result(h, pose.covariance if n == 0 else None, types) for n, h in enumerate(_ranked(pose))],
            bbox=_box(pose, objects[pose.object_id], types),
            id=instance_id(version, index),
        )
        for index, pose in enumerate(poses)
    ]
    return types.Detection3DArray(header=stamp, detections=entries)


def to_poses(message: Any, detections: Sequence[Detection] | None = None) -> tuple[list[PoseEstimate], str]:
    """The poses of a Detection3DArray, and their model's version (first digits).

    Args:
        message: as `from_poses` makes it.
        detections: those the poses came from, one each in the same order; or None.

    Raises:
        BinposeError: when a pose is none, or there is not one per detection.
    """
    if detections is not None and len(detections) != len(message.detections):
        raise BinposeError(
            f"{len(message.detections)} poses for {len(detections)} detections; expected one each; connect the pose "
            "estimator to the same detection node."
        )
    versions = {split_id(entry.id)[0] for entry in message.detections}
    if len(versions) > 1:
        raise BinposeError(f"Poses of the models {', '.join(sorted(versions))} in one message; expected one model.")
    owners = detections if detections is not None else [None] * len(message.detections)
    found = [_pose(entry, owner) for entry, owner in zip(message.detections, owners, strict=True)]
    return found, versions.pop() if versions else ""


def transforms(poses: Sequence[PoseEstimate], header: Header, types: Any, prefix: str = "bin") -> Any:
    """A TFMessage with a frame <prefix>/<object>_<n> per part, n counting the parts of a type from 0, best first."""
    seen: dict[str, int] = {}
    entries = []
    for pose in poses:
        number = seen.get(pose.object_id, 0)
        seen[pose.object_id] = number + 1
        entries.append(
            types.TransformStamped(
                header=to_header(header, types),
                child_frame_id=f"{prefix}/{pose.object_id}_{number}",
                transform=types.Transform(
                    translation=_vector(pose.T_cam_obj[:3, 3], types.Vector3),
                    rotation=_quaternion(pose.T_cam_obj, types),
                ),
            )
        )
    return types.TFMessage(transforms=entries)


def _ranked(pose: PoseEstimate) -> list[Hypothesis]:
    """The pose itself and its other hypotheses."""
    own = Hypothesis(pose.object_id, pose.T_cam_obj, pose.score)
    others = [
        h
        for h in pose.hypotheses
        if h.object_id != own.object_id or h.score != own.score or not np.array_equal(h.T_cam_obj, own.T_cam_obj)
    ]
    return [own, *others]


def _result(hypothesis: Hypothesis, covariance: FloatArray | None, types: Any) -> Any:
    flat = NO_COVARIANCE if covariance is None else np.asarray(covariance, np.float64).ravel()
    return types.ObjectHypothesisWithPose(
        hypothesis=types.ObjectHypothesis(class_id=hypothesis.object_id, score=float(hypothesis.score)),
        pose=types.PoseWithCovariance(pose=from_matrix(hypothesis.T_cam_obj, types), covariance=flat),
    )


def _box(pose: PoseEstimate, part: ObjectModel, types: Any) -> Any:
    """The part's bounding box, aligned with its axes."""
    centered = pose.T_cam_obj.copy()
    centered[:3, 3] += pose.T_cam_obj[:3, :3] @ part.center_m
    return types.BoundingBox3D(center=from_matrix(centered, types), size=_vector(box_size_m(part), types.Vector3))


def box_size_m(part: ObjectModel) -> FloatArray:
    """(3,) sides of the part's bounding box along its axes."""
    return np.ptp(part.mesh.vertices, axis=0).astype(np.float64)


def _pose(entry: Any, detection: Detection | None) -> PoseEstimate:
    found = [
        Hypothesis(str(r.hypothesis.class_id), to_matrix(r.pose.pose), float(r.hypothesis.score)) for r in entry.results
    ]
    if not found or not all(np.isfinite(h.T_cam_obj).all() for h in found):
        raise BinposeError(
            f"Pose {entry.id!r} has no result that is a pose; expected finite numbers; check its sender."
        )
    covariance = np.array(entry.results[0].pose.covariance, np.float64).reshape(6, 6)
    best = found[0]
    return PoseEstimate(
        best.object_id,
        best.T_cam_obj,
        best.score,
        detection=detection,
        covariance=covariance if covariance.any() else None,
        hypotheses=tuple(found),
    )


def _vector(values: FloatArray, kind: Any) -> Any:
    x, y, z = (float(value) for value in values)
    return kind(x=x, y=y, z=z)


def _quaternion(T: FloatArray, types: Any) -> Any:
    x, y, z, w = (float(value) for value in quat_xyzw_from_rotation(T[:3, :3]))
    return types.Quaternion(x=x, y=y, z=z, w=w)
