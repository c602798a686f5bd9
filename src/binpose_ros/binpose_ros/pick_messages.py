"""Outcomes of picks as messages: binpose_interfaces/PickOutcome, written as an object and read from serialized data.

The poses are in the frame of the message's header, which is that of the grasps.
"""

from typing import Any

import numpy as np

from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, rotation_from_quat_xyzw
from binpose_ros.serialized import Reader
from binpose_ros.stamps import Header

PICK_OUTCOME = "binpose_interfaces/msg/PickOutcome"
"""The full name of the type."""
POSE = 7  # numbers of a geometry_msgs/Pose: position, quaternion xyzw


def pick_message(array: Any, grasp: Any, width_m: float, succeeded: bool, end: str, types: Any) -> Any:
    """A binpose_interfaces/PickOutcome.

    Args:
        array: the GraspArray with the grasp.
        grasp: the binpose_interfaces/Grasp that was executed.
        width_m: of the fingers after closing; NaN where it is not known.
        succeeded: whether the robot held a part of this type and placed it.
        end: how the try ended.
        types: message classes.
    """
    return types.PickOutcome(header=array.header, grasp=grasp, width=float(width_m), success=bool(succeeded), end=end)


def read_pick(data: bytes) -> tuple[Header, PickOutcome]:
    """The header and the outcome of a serialized message; poses are in the header's frame.

    Details: T_cam_hand, pose_score, grasp_score, planned_width_m, width_m (unless it is NaN) and end.

    Raises:
        BinposeError: when the data are no such message.
    """
    reader = Reader(data)
    header, object_id = reader.header(), reader.text()
    reader.text()  # detection_id
    T_obj, (pose_score,) = _pose(reader), reader.doubles(1)
    T_hand = _pose(reader)
    reader.doubles(2 * POSE)  # pregrasp and retreat
    planned_width_m, grasp_score = reader.doubles(2)
    reader.text()  # tool
    reader.doubles(reader.count())  # joints
    (width_m,), succeeded, end = reader.doubles(1), reader.flag(), reader.text()
    details: dict[str, Any] = {
        "T_cam_hand": T_hand,
        "pose_score": float(pose_score),
        "grasp_score": float(grasp_score),
        "planned_width_m": float(planned_width_m),
        "end": end,
    }
    if np.isfinite(width_m):
        details["width_m"] = float(width_m)
    return header, PickOutcome(object_id, T_obj, succeeded, details)


def _pose(reader: Reader) -> FloatArray:
    """T (4, 4); NaN where the quaternion is none."""
    numbers = reader.doubles(POSE)
    with np.errstate(invalid="ignore"):
        return from_rotation_translation(rotation_from_quat_xyzw(numbers[3:]), numbers[:3])
