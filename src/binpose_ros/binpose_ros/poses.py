"""PoseEstimates <-> serialized vision_msgs/Detection3DArray, and the transforms of found parts.

Covariances are those of geometry_msgs: position, then rotation about the fixed axes of the camera frame, which for the
small angles of an estimate is the rotation vector that binpose uses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import (
    FloatArray,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    rotation_from_quat_xyzw,
)
from binpose_core.parts.objects import ObjectModel
from binpose_ros.ros_packages import rotation_from_quaternion
from binpose_ros.stamps import Header, to_header
from binpose_ros.vision_arrays import (
    COVARIANCE,
    NUMBERS,
    POSE,
    SCORE,
    Box,
    Entry,
    instance_id,
    read_array,
    split_id,
    write_array,
)


def from_matrices(T: FloatArray, types: Any) -> list[Any]:
    """geometry_msgs/Pose messages of T (N, 4, 4)."""
    return [
        types.Pose(position=types.Point(x=x, y=y, z=z), orientation=types.Quaternion(x=qx, y=qy, z=qz, w=qw))
        for x, y, z, qx, qy, qz, qw in _numbers(T).tolist()
    ]


def _numbers(T: FloatArray) -> FloatArray:
    """Position and quaternion xyzw (N, 7) of T (N, 4, 4); one call for many is a hundred times as fast as one each."""
    return np.concatenate([np.asarray(T[:, :3, 3], np.float64), quat_xyzw_from_rotation(T[:, :3, :3])], 1)


def _matrices(numbers: FloatArray) -> FloatArray:
    """The inverse of `_numbers`; NaN where a quaternion is none."""
    with np.errstate(invalid="ignore"):
        return from_rotation_translation(rotation_from_quat_xyzw(numbers[:, 3:]), numbers[:, :3])


def to_matrix(pose: Any) -> FloatArray:
    """T (4, 4) of a geometry_msgs/Pose."""
    p, q = pose.position, pose.orientation
    return _matrices(np.array([[p.x, p.y, p.z, q.x, q.y, q.z, q.w]], np.float64))[0]


def from_transform(transform: Any) -> FloatArray:
    """T (4, 4) of a geometry_msgs/Transform; NaN where its quaternion is none."""
    t, q = transform.translation, transform.rotation
    return from_rotation_translation(rotation_from_quaternion((q.x, q.y, q.z, q.w)), np.array([t.x, t.y, t.z]))


def transform_messages(T: FloatArray, header: Header, names: Sequence[str], types: Any) -> list[Any]:
    """TransformStamped messages of T (N, 4, 4), each that of the frame with this name in the header's frame."""
    turns = [message.orientation for message in from_matrices(T, types)]
    return [
        types.TransformStamped(
            header=to_header(header, types),
            child_frame_id=name,
            transform=types.Transform(translation=_vector(one[:3, 3], types.Vector3), rotation=turn),
        )
        for one, turn, name in zip(T, turns, names, strict=True)
    ]


def from_matrix(T: FloatArray, types: Any) -> Any:
    """A geometry_msgs/Pose of T (4, 4)."""
    return from_matrices(np.asarray(T)[None], types)[0]


def write_poses(
    poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], header: Header, version: str
) -> bytes:
    """The Detection3DArray: results[0] is the pose, the others are the rest of its hypotheses, best first.

    The id of each is "<first digits of the model's version>/<index>".
    """
    return write_array(header, _entries(poses, objects, version) if poses else ())


def _entries(poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], version: str) -> list[Entry]:
    ranked = [_ranked(pose) for pose in poses]
    flat = [hypothesis for hypotheses in ranked for hypothesis in hypotheses]
    firsts = np.cumsum([0, *(len(hypotheses) for hypotheses in ranked)])
    numbers = np.zeros((len(flat), NUMBERS))
    numbers[:, SCORE] = [hypothesis.score for hypothesis in flat]
    numbers[:, POSE] = _numbers(np.stack([hypothesis.T_cam_obj for hypothesis in flat]))
    boxes = _numbers(np.stack([_box_center(pose, objects[pose.object_id]) for pose in poses]))
    entries = []
    for index, (pose, hypotheses, first) in enumerate(zip(poses, ranked, firsts, strict=False)):
        if pose.covariance is not None:
            numbers[first, COVARIANCE] = np.ravel(pose.covariance)
        entries.append(
            Entry(
                instance_id(version, index),
                [hypothesis.object_id for hypothesis in hypotheses],
                numbers[first : first + len(hypotheses)],
                np.concatenate([boxes[index], objects[pose.object_id].box_size_m]),
            )
        )
    return entries


def read_poses(data: bytes) -> tuple[list[PoseEstimate], str]:
    """The poses of a serialized Detection3DArray, and their model's version (first digits).

    Raises:
        BinposeError: when the data are no such message, a pose is none, or they are of several models.
    """
    entries = read_array(data, Box.SOLID)
    versions = {split_id(entry.id)[0] for entry in entries}
    if len(versions) > 1:
        raise BinposeError(f"Poses of the models {', '.join(sorted(versions))} in one message; expected one model.")
    T_cam_obj = _matrices(np.concatenate([np.zeros((0, 7)), *(entry.numbers[:, POSE] for entry in entries)]))
    ends = np.cumsum([len(entry.names) for entry in entries]).tolist()
    found = [_pose(entry, T_cam_obj[end - len(entry.names) : end]) for entry, end in zip(entries, ends, strict=True)]
    return found, versions.pop() if versions else ""


def with_detections(poses: Sequence[PoseEstimate], detections: Sequence[Detection]) -> list[PoseEstimate]:
    """The poses with the places of the detections that they came from, one each in the same order.

    Raises:
        BinposeError: when there is not one each.
    """
    if len(detections) != len(poses):
        raise BinposeError(
            f"{len(poses)} poses for {len(detections)} detections; expected one each; connect the pose estimator to "
            "the same detection node."
        )
    return [replace(pose, detection_index=index) for index, pose in enumerate(poses)]


def transforms(poses: Sequence[PoseEstimate], header: Header, types: Any, prefix: str = "bin") -> Any:
    """A TFMessage with a frame <prefix>/<object>_<n> per part, n counting the parts of a type from 0, best first.

    Without a prefix the frames are named <object>_<n>.
    """
    begin = f"{prefix}/" if prefix else ""
    seen: dict[str, int] = {}
    names = []
    for pose in poses:
        number = seen.get(pose.object_id, 0)
        seen[pose.object_id] = number + 1
        names.append(f"{begin}{pose.object_id}_{number}")
    entries = transform_messages(np.stack([p.T_cam_obj for p in poses]), header, names, types) if poses else []
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


def _pose(entry: Entry, T_cam_obj: FloatArray) -> PoseEstimate:
    if not np.isfinite(T_cam_obj).all():
        raise BinposeError(f"Pose {entry.id!r} holds numbers that are no pose; expected finite ones; check its sender.")
    scores = entry.numbers[:, SCORE].tolist()
    found = tuple(Hypothesis(*parts) for parts in zip(entry.names, T_cam_obj, scores, strict=True))
    covariance = entry.numbers[0, COVARIANCE].reshape(6, 6)
    best = found[0]
    return PoseEstimate(
        best.object_id,
        best.T_cam_obj,
        best.score,
        covariance=covariance if covariance.any() else None,
        hypotheses=found,
    )


def _vector(values: FloatArray, kind: Any) -> Any:
    x, y, z = (float(value) for value in values)
    return kind(x=x, y=y, z=z)
