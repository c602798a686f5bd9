"""Whether an arm can follow the straight path of a grasp: approach, grasp, retreat."""

from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.arm import Arm, ArmConfig, limit_margin, smallest_singular
from binpose_grasping.refusals import Refusal

BRANCHES = 6
"""Number of solutions at the grasp whose paths are tried."""


@dataclass(frozen=True, eq=False)
class ReachedPath:
    """Joint angles along a path.

    joints: (W, J) from pregrasp over grasp to retreat.
    grasp_waypoint: row at which the fingers close.
    margin: in [0, 1], the smallest distance to a joint limit on the path, relative to half the joint's range.
    turn_rad: by which the hand is turned about its approach.
    """

    joints: FloatArray
    grasp_waypoint: int
    margin: float
    turn_rad: float = 0.0


def reach_paths(
    arm: Arm,
    config: ArmConfig,
    T_base_pregrasp: FloatArray,
    T_base_grasp: FloatArray,
    T_base_retreat: FloatArray,
    most: int = 1,
) -> list[ReachedPath] | Refusal:
    """Paths without a jump, best first, or why there is none.

    The elbow is chosen by the distance to the arm's home position; all points of a path are on one branch.

    Args:
        arm: its kinematics.
        config: margins and steps.
        T_base_pregrasp: (4, 4), where the straight approach begins.
        T_base_grasp: (4, 4), where the fingers close.
        T_base_retreat: (4, 4), where the straight retreat ends.
        most: largest number of paths.
    """
    solutions = arm.solutions(T_base_grasp)
    if not len(solutions):
        return Refusal.OUT_OF_REACH
    regular = solutions[smallest_singular(arm.jacobian(solutions)) >= config.least_singular]
    if not len(regular):
        return Refusal.SINGULAR
    order = np.argsort(np.abs(regular - arm.home).sum(axis=1) - limit_margin(arm, regular), kind="stable")
    back = straight_line(T_base_grasp, T_base_pregrasp, config.step_m)
    away = straight_line(T_base_grasp, T_base_retreat, config.step_m)
    found, singular = [], False
    for start in regular[order[:BRANCHES]]:
        to = arm.follow(back, start, config.jump_rad)
        on = None if to is None else arm.follow(away, start, config.jump_rad)
        if to is None or on is None:
            continue
        joints = np.concatenate([to[::-1], on[1:]])
        if (smallest_singular(arm.jacobian(joints)) < config.least_singular).any():
            singular = True
            continue
        found.append(ReachedPath(joints, len(to) - 1, float(limit_margin(arm, joints).min())))
        if len(found) == most:
            break
    return found or (Refusal.SINGULAR if singular else Refusal.PATH)


def straight_line(T_base_a: FloatArray, T_base_b: FloatArray, step_m: float) -> FloatArray:
    """Poses (W, 4, 4) from a to the position of b: at most `step_m` apart, with the rotation of a."""
    offset = T_base_b[:3, 3] - T_base_a[:3, 3]
    count = 1 + max(1, int(np.ceil(np.sqrt(offset @ offset) / step_m - 1e-9)))
    poses = np.tile(T_base_a, (count, 1, 1))
    poses[:, :3, 3] += np.arange(count)[:, None] / (count - 1) * offset
    return poses
