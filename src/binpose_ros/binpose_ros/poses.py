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


def to_matrices(poses: Sequence[Any]) -> FloatArray:
    """T (N, 4, 4) of geometry_msgs/Pose messages; NaN where an orientation is none."""
    values = [
        (p.position.x, p.position.y, p.position.z, p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w)
        for p in poses
    ]
    numbers = np.array(values, np.float64).reshape(-1, 7)
    with np.errstate(invalid="ignore"):
        return from_rotation_translation(rotation_from_quat_xyzw(numbers[:, 3:]), numbers[:, :3])


def from_matrices(T: FloatArray, types: Any) -> list[Any]:
    """geometry_msgs/Pose messages of T (N, 4, 4)."""
    return [
        types.Pose(position=types.Point(x=x, y=y, z=z), orientation=types.Quaternion(x=qx, y=qy, z=qz, w=qw))
        for (x, y, z), (qx, qy, qz, qw) in zip(*_numbers(T), strict=True)
    ]


def _numbers(T: FloatArray) -> tuple[list[list[float]], list[list[float]]]:
    """Positions and quaternions of T (N, 4, 4); one call for many is a hundred times as fast as one each."""
    return np.asarray(T[:, :3, 3], np.float64).tolist(), quat_xyzw_from_rotation(T[:, :3, :3]).tolist()


def to_matrix(pose: Any) -> FloatArray:
    """T (4, 4) of a geometry_msgs/Pose."""
    return to_matrices([pose])[0]


def from_matrix(T: FloatArray, types: Any) -> Any:
    """A geometry_msgs/Pose of T (4, 4)."""
    return from_matrices(np.asarray(T)[None], types)[0]


def from_poses(
    poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], header: Header, version: str, types: Any
) -> Any:
    """The Detection3DArray: results[0] is the pose, the others are the rest of its hypotheses, best first.

    The id of each is "<first digits of the model's version>/<index>".
    """
    if not poses:
        return types.Detection3DArray(header=to_header(header, types), detections=[])
    stamp = to_header(header, types)
    ranked = [_ranked(pose) for pose in poses]
    numbers = zip(*_numbers(np.stack([h.T_cam_obj for hypotheses in ranked for h in hypotheses])), strict=True)
    boxes = from_matrices(np.stack([_box_center(pose, objects[pose.object_id]) for pose in poses]), types)
    entries = []
    for index, (pose, hypotheses) in enumerate(zip(poses, ranked, strict=True)):
        known = NO_COVARIANCE if pose.covariance is None else np.asarray(pose.covariance, np.float64).ravel()
        results = [
            types.result(h.object_id, float(h.score), *next(numbers), NO_COVARIANCE if n else known)
            for n, h in enumerate(hypotheses)
        ]
        size = _vector(box_size_m(objects[pose.object_id]), types.Vector3)
        entries.append(
            types.Detection3D(
                header=stamp,
                results=results,
                bbox=types.BoundingBox3D(center=boxes[index], size=size),
                id=instance_id(version, index),
            )
        )
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
    T_cam_obj = to_matrices([result.pose.pose for entry in message.detections for result in entry.results])
    ends = np.cumsum([len(entry.results) for entry in message.detections]).tolist()
    found = [
        _pose(entry, owner, T_cam_obj[end - len(entry.results) : end])
        for entry, owner, end in zip(message.detections, owners, ends, strict=True)
    ]
    return found, versions.pop() if versions else ""


def transforms(poses: Sequence[PoseEstimate], header: Header, types: Any, prefix: str = "bin") -> Any:
    """A TFMessage with a frame <prefix>/<object>_<n> per part, n counting the parts of a type from 0, best first."""
    seen: dict[str, int] = {}
    entries = []
    turns = [m.orientation for m in from_matrices(np.stack([p.T_cam_obj for p in poses]), types)] if poses else []
    for pose, turn in zip(poses, turns, strict=True):
        number = seen.get(pose.object_id, 0)
        seen[pose.object_id] = number + 1
        entries.append(
            types.TransformStamped(
                header=to_header(header, types),
                child_frame_id=f"{prefix}/{pose.object_id}_{number}",
                transform=types.Transform(
                    translation=_vector(pose.T_cam_obj[:3, 3], types.Vector3),
                    rotation=turn,
                ),
            )
        )
    return types.TFMessage(transforms=entries)


def _ranked(pose: PoseEstimate) -> list[Hypothesis]:
    """The pose itself and its other hypotheses."""
    own = Hypothesis(pose.object_id, pose.T_cam_obj, pose.score)
    return [own, *(h for h in pose.hypotheses if not _same(h, own))]


def _same(a: Hypothesis, b: Hypothesis) -> bool:
    return a.score == b.score and a.object_id == b.object_id and np.array_equal(a.T_cam_obj, b.T_cam_obj)


def _box_center(pose: PoseEstimate, part: ObjectModel) -> FloatArray:
    """The pose (4, 4) of the middle of the part's bounding box, which is aligned with its axes."""
    centered = pose.T_cam_obj.copy()
    centered[:3, 3] += pose.T_cam_obj[:3, :3] @ part.center_m
    return centered


def box_size_m(part: ObjectModel) -> FloatArray:
    """(3,) sides of the part's bounding box along its axes."""
    return np.ptp(part.mesh.vertices, axis=0).astype(np.float64)


def _pose(entry: Any, detection: Detection | None, T_cam_obj: FloatArray) -> PoseEstimate:
    if not entry.results or not np.isfinite(T_cam_obj).all():
        raise BinposeError(
            f"Pose {entry.id!r} has no result that is a pose; expected finite numbers; check its sender."
        )
    found = tuple(
        Hypothesis(result.hypothesis.class_id, T, result.hypothesis.score)
        for result, T in zip(entry.results, T_cam_obj, strict=True)
    )
    covariance = np.array(entry.results[0].pose.covariance, np.float64).reshape(6, 6)
    best = found[0]
    return PoseEstimate(
        best.object_id,
        best.T_cam_obj,
        best.score,
        detection=detection,
        covariance=covariance if covariance.any() else None,
        hypotheses=found,
    )


def _vector(values: FloatArray, kind: Any) -> Any:
    x, y, z = (float(value) for value in values)
    return kind(x=x, y=y, z=z)
