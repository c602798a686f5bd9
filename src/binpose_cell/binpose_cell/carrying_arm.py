"""An arm that carries the hand: its joints follow the inverse kinematics of straight lines."""

from dataclasses import replace
from typing import Any

import numpy as np

from binpose_cell.arm_model import add_arm, exclude_neighbours
from binpose_cell.config import DriveConfig, GripConfig
from binpose_cell.hand_carrier import Course, HandPath, OutOfReachError
from binpose_cell.hand_model import FINGERS, HAND, add_mounted_hand
from binpose_core.geometry.transforms import FloatArray, exp_so3, inverse, log_so3
from binpose_grasping.arm import Arm, ArmConfig
from binpose_grasping.arm_links import ArmBody
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.reach import ReachedPath, reach_paths, straight_line
from binpose_grasping.refusals import Refusal
from binpose_simulation.world_model import Surface

STEP_M = 0.005
"""Distance of the points at which straight lines are solved; between them the joints move linearly."""
PATHS, YAWS = 6, 24
DIP_M = 0.03
"""How far the hand may sink below the ends of a motion of the joints."""
CHECKS = 21
ROUNDS, DAMPING, ACCURACY = 8, 1e-6, 2e-4  # metres and radians


class CarryingArm:
    """The arm of a cell.

    Args:
        arm: its kinematics.
        body: its links.
        config: margins of its paths.
        T_world_base: (4, 4) of its base.
        drive: lag of the joints.
    """

    teleports = False

    def __init__(
        self, arm: Arm, body: ArmBody, config: ArmConfig, T_world_base: FloatArray, drive: DriveConfig
    ) -> None:
        self._arm, self._body, self._config, self._drive = arm, body, replace(config, step_m=STEP_M), drive
        self._T_world_base, self._T_base_world = T_world_base, inverse(T_world_base)
        self._speeds = np.array([link.speed_rad_s for link in body.links])
        self.dofs = len(body.links)

    def add(self, mujoco: Any, spec: Any, gripper: GripperConfig, config: GripConfig) -> None:
        """Add the arm and the hand to an MjSpec."""
        surface = Surface(config.part_friction, 1.0).of_geometry(config.timestep_s)
        last = add_arm(mujoco, spec, self._body, self._T_world_base, self._drive, surface)
        add_mounted_hand(mujoco, spec, last, self._body.T_last_tcp, gripper, config)
        exclude_neighbours(spec, self.dofs, (HAND, *FINGERS))

    def bind(self, data: Any) -> None:
        """Use the state of the compiled model."""
        self._data = data
        self._target = data.qpos[: self.dofs].copy()

    def target_m(self) -> FloatArray:
        """(3,) position of the hand at the target."""
        return self._forward(self._target)[:3, 3]

    def pose(self) -> FloatArray:
        """Current T_world_hand (4, 4)."""
        return self._forward(self._data.qpos[: self.dofs])

    def hold(self) -> None:
        """Make the current state the target."""
        self._aim(self._data.qpos[: self.dofs].copy(), np.zeros(self.dofs))

    def at(self, T_world_hand: FloatArray) -> FloatArray:
        """(J,) joints near to the home position.

        Raises:
            OutOfReachError: if there are none.
        """
        found = self._arm.solutions(self._T_base_world @ T_world_hand)
        if not len(found):
            raise OutOfReachError
        return np.asarray(found[np.abs(found - self._arm.home).sum(axis=1).argmin()])

    def waiting(self, T_world_hand: FloatArray) -> FloatArray:
        """(J,) the arm's home position."""
        return np.array(self._arm.home)

    def approach(self, path: HandPath) -> FloatArray:
        """(W, J) joints from pregrasp to grasp, near to those that the path names.

        Raises:
            OutOfReachError: if no branch can be followed.
        """
        turn = np.diag([-1.0, -1.0, 1.0, 1.0])
        paths = self._reached(path, np.eye(4))
        if path.joints is None or not paths:
            paths += self._reached(path, turn)  # the same grasp with the fingers exchanged
        if not paths:
            raise OutOfReachError
        given = path.joints
        best = max(paths, key=lambda one: one.margin)
        if given is not None and len(given) == self.dofs:
            best = min(paths, key=lambda one: float(np.abs(one.joints[one.grasp_waypoint] - given).max()))
        return best.joints[: best.grasp_waypoint + 1]

    def along(self, direction: FloatArray, low_m: float, high_m: float) -> Course:
        """A straight line from low_m <= 0 to high_m >= 0 about the target.

        Raises:
            OutOfReachError: if it cannot be followed.
        """
        ways, joints = np.zeros(1), self._target[None]
        for end_m in (low_m, high_m):
            if end_m:
                far, rows = self._line(direction, end_m)
                ways, joints = np.append(ways, far[1:]), np.concatenate([joints, rows[1:]])
        order = np.argsort(ways)
        return self._course(ways[order], joints[order], high_m - low_m)

    def carry(self, position_m: FloatArray, below_m: float = 0.0) -> Course:
        """A motion of all joints to a position, with the hand turned about the vertical axis as it suits the arm.

        Raises:
            OutOfReachError: if there is no turn with a straight line down, or the hand would sink on the way.
        """
        here = self._forward(self._target)
        length_m = max(float(np.linalg.norm(position_m - here[:3, 3])), STEP_M)
        found: list[FloatArray] = []
        for yaw_rad in np.arange(YAWS) * 2 * np.pi / YAWS:
            T = here.copy()
            T[:3, :3] = exp_so3(np.array([0.0, 0.0, yaw_rad])) @ here[:3, :3]
            T[:3, 3] = position_m
            found += list(self._arm.solutions(self._T_base_world @ T))
        for joints in sorted(found, key=self._effort_s):
            if self._stays_high(joints) and self._can_sink(joints, below_m):
                return self._course(np.array([0.0, length_m]), np.stack([self._target, joints]), length_m)
        raise OutOfReachError

    def joined(self, state: FloatArray) -> Course:
        """All joints at once to a state (J,)."""
        here, there = self._forward(self._target), self._forward(state)
        length_m = max(float(np.linalg.norm(there[:3, 3] - here[:3, 3])), STEP_M)
        return self._course(np.array([0.0, length_m]), np.stack([self._target, state]), length_m)

    def _reached(self, path: HandPath, turn: FloatArray) -> list[ReachedPath]:
        before, at, after = (self._T_base_world @ T @ turn for T in (path.T_pregrasp, path.T_grasp, path.T_retreat))
        paths = reach_paths(self._arm, self._config, before, at, after, PATHS)
        return [] if isinstance(paths, Refusal) else paths

    def _line(self, direction: FloatArray, end_m: float) -> tuple[FloatArray, FloatArray]:
        """Distances (W,) and joints (W, J) from the target to a distance along a direction."""
        here = self._forward(self._target)
        there = here.copy()
        there[:3, 3] += end_m * direction
        poses = self._T_base_world @ straight_line(here, there, STEP_M)
        joints = self._arm.follow(poses, self._target, self._config.jump_rad)
        if joints is None:
            joints = self._resolved(poses)
        return np.linspace(0.0, end_m, len(poses)), joints

    def _resolved(self, T_base_hand: FloatArray) -> FloatArray:
        """Joints (W, J) at poses (W, 4, 4) from the target on, with all joints free: damped least squares steps.

        Raises:
            OutOfReachError: if a pose is not reached within the limits.
        """
        rows = [self._target]
        for T in T_base_hand[1:]:
            q = rows[-1]
            for _ in range(ROUNDS):
                here = self._arm.forward(q[None])[0]
                error = np.concatenate([T[:3, 3] - here[:3, 3], log_so3(T[:3, :3] @ here[:3, :3].T)])
                J = self._arm.jacobian(q[None])[0]
                change = J.T @ np.linalg.solve(J @ J.T + DAMPING * np.eye(6), error)
                q = np.clip(q + change, self._arm.lower, self._arm.upper)
            if np.abs(error).max() > ACCURACY or np.abs(q - rows[-1]).max() > self._config.jump_rad:
                raise OutOfReachError
            rows.append(q)
        return np.stack(rows)

    def _course(self, ways_m: FloatArray, joints: FloatArray, length_m: float) -> Course:
        """The motion through joints (W, J) at distances (W,), ascending."""
        slopes = np.gradient(joints, ways_m, axis=0) if len(ways_m) > 1 else np.zeros_like(joints)
        fastest = float(1.0 / np.maximum(np.abs(slopes / self._speeds).max(), 1e-9))

        def follow(way_m: float, speed_m_s: float) -> None:
            q, slope = (np.array([np.interp(way_m, ways_m, column) for column in rows.T]) for rows in (joints, slopes))
            self._aim(q, slope * speed_m_s)

        return Course(length_m, fastest, follow)

    def _aim(self, joints: FloatArray, speed_rad_s: FloatArray) -> None:
        self._target = joints
        self._data.ctrl[: self.dofs] = joints + self._drive.lag_s * speed_rad_s

    def _forward(self, joints: FloatArray) -> FloatArray:
        return np.asarray(self._T_world_base @ self._arm.forward(joints[None])[0])

    def _effort_s(self, joints: FloatArray) -> float:
        """Least time to move to joints (J,)."""
        return float(np.abs((joints - self._target) / self._speeds).max())

    def _can_sink(self, joints: FloatArray, below_m: float) -> bool:
        """Whether the hand can move down on a straight line from joints (J,)."""
        there = self._forward(joints)
        below = there.copy()
        below[2, 3] -= below_m
        poses = self._T_base_world @ straight_line(there, below, STEP_M)
        return not below_m or self._arm.follow(poses, joints, self._config.jump_rad) is not None

    def _stays_high(self, joints: FloatArray) -> bool:
        way = self._target + np.linspace(0, 1, CHECKS)[:, None] * (joints - self._target)
        heights = self._T_world_base[2, 3] + self._arm.forward(way)[:, 2, 3]
        return bool(heights.min() > min(heights[0], heights[-1]) - DIP_M)
