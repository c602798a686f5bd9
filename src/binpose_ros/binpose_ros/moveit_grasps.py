"""Grasps as moveit_msgs/Grasp, for motion planners such as MoveIt Task Constructor."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import numpy as np

from binpose_core.frames.types import Grasp
from binpose_core.geometry.transforms import FloatArray
from binpose_ros.poses import from_matrix
from binpose_ros.stamps import Header, ns_to_stamp, to_header

CLOSING_NS = 500_000_000
"""Time in which the fingers close."""


@dataclass(frozen=True)
class MoveItTypes:
    """The message classes of a moveit_msgs/Grasp."""

    Grasp: Any
    GripperTranslation: Any
    JointTrajectory: Any
    JointTrajectoryPoint: Any
    Vector3Stamped: Any


PACKAGES = ("moveit_msgs", "moveit_msgs", "trajectory_msgs", "trajectory_msgs", "geometry_msgs")
"""Of the classes of `MoveItTypes`."""


def moveit_types() -> MoveItTypes | None:
    """The classes; None where MoveIt's messages are not installed."""
    try:
        names = zip(PACKAGES, fields(MoveItTypes), strict=True)
        return MoveItTypes(*(getattr(import_module(f"{package}.msg"), entry.name) for package, entry in names))
    except (ImportError, AttributeError):
        return None


@dataclass(frozen=True)
class Fingers:
    """The joints of the hand.

    names: of the finger joints, each of which moves by half of the opening.
    gap_m: gap between the part and each finger before they close.
    """

    names: Sequence[str]
    gap_m: float


def moveit_grasp(
    header: Header,
    grasp: Grasp,
    number: int,
    T_tcp_hand: FloatArray,
    fingers: Fingers,
    types: Any,
    moveit: MoveItTypes,
) -> Any:
    """One grasp with its approach, retreat and finger positions.

    Args:
        header: stamp and frame of the grasp's poses.
        grasp: poses of the tool centre point in that frame.
        number: its rank.
        T_tcp_hand: (4, 4) of the frame that `grasp_pose` is of.
        fingers: of the hand.
        types: message classes.
        moveit: those of MoveIt.
    """
    approach_m = grasp.T_cam_hand[:3, 3] - grasp.T_cam_pregrasp[:3, 3]
    retreat_m = grasp.T_cam_retreat[:3, 3] - grasp.T_cam_hand[:3, 3]
    closed_m = grasp.width_m / 2
    stamped = to_header(header, types)

    def posture(position_m: float) -> Any:
        positions = types.doubles([position_m] * len(fingers.names))
        point = moveit.JointTrajectoryPoint(positions=positions, time_from_start=_duration(types))
        return moveit.JointTrajectory(header=stamped, joint_names=list(fingers.names), points=[point])

    def straight(way_m: FloatArray) -> Any:
        length_m = float(np.linalg.norm(way_m))
        x, y, z = (float(value) for value in way_m / max(length_m, 1e-9))
        direction = moveit.Vector3Stamped(header=stamped, vector=types.Vector3(x=x, y=y, z=z))
        return moveit.GripperTranslation(direction=direction, desired_distance=length_m, min_distance=length_m)

    return moveit.Grasp(
        id=f"{grasp.object_id}_{grasp.pose_index}_{number}",
        pre_grasp_posture=posture(closed_m + fingers.gap_m),
        grasp_posture=posture(closed_m),
        grasp_pose=types.PoseStamped(header=stamped, pose=from_matrix(grasp.T_cam_hand @ T_tcp_hand, types)),
        grasp_quality=grasp.score,
        pre_grasp_approach=straight(approach_m),
        post_grasp_retreat=straight(retreat_m),
        post_place_retreat=straight(-approach_m),
        max_contact_force=0.0,
        allowed_touch_objects=[grasp.object_id],
    )


def _duration(types: Any) -> Any:
    stamp = ns_to_stamp(CLOSING_NS, types)
    return types.Duration(sec=stamp.sec, nanosec=stamp.nanosec)
