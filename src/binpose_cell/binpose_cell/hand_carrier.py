"""What carries the hand in the physics: nothing, so that it flies freely, or an arm.

The first seven values of MuJoCo's state are those of the carrier: the pose of a free hand, or the joints of an arm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from binpose_cell.config import GripConfig
from binpose_cell.hand_model import add_free_hand
from binpose_core.geometry.transforms import (
    FloatArray,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    rotation_from_quat_xyzw,
)
from binpose_grasping.gripper import GripperConfig

WAYPOINTS = 17


class OutOfReachError(Exception):
    """The arm cannot follow a path."""


@dataclass(frozen=True, eq=False)
class HandPath:
    """One way to take a part.

    T_pregrasp, T_grasp, T_retreat: (4, 4) of the hand in the world. opening_m: of the fingers on the approach.
    joints: (J,) of the arm at the grasp, where they are known.
    """

    T_pregrasp: FloatArray
    T_grasp: FloatArray
    T_retreat: FloatArray
    opening_m: float
    joints: FloatArray | None = None

    def approach(self) -> FloatArray:
        """(W, 4, 4) from pregrasp to grasp."""
        T = np.repeat(self.T_grasp[None], WAYPOINTS, 0)
        T[:, :3, 3] = np.linspace(self.T_pregrasp[:3, 3], self.T_grasp[:3, 3], WAYPOINTS)
        return T


@dataclass(frozen=True, eq=False)
class Course:
    """A motion of the carrier.

    length_m: of the hand's way. fastest_m_s: largest speed that the joints allow.
    follow: moves the target to a distance in metres from the start, where it has a speed in m/s.
    """

    length_m: float
    fastest_m_s: float
    follow: Callable[[float, float], None]


class HandCarrier(Protocol):
    """Moves the target that the hand follows in the physics.

    teleports: whether it is placed at the pregrasp without a motion.
    """

    teleports: bool

    def add(self, mujoco: Any, spec: Any, gripper: GripperConfig, config: GripConfig) -> None:
        """Add itself and the hand to an MjSpec, before the parts."""
        ...

    def bind(self, data: Any) -> None:
        """Use the state of the compiled model."""
        ...

    def target_m(self) -> FloatArray:
        """(3,) position of the hand that the target leads to."""
        ...

    def pose(self) -> FloatArray:
        """Current T_world_hand (4, 4)."""
        ...

    def hold(self) -> None:
        """Make the current state the target."""
        ...

    def at(self, T_world_hand: FloatArray) -> FloatArray:
        """(7,) state with the hand at a pose (4, 4).

        Raises:
            OutOfReachError: if there is none.
        """
        ...

    def waiting(self, T_world_hand: FloatArray) -> FloatArray:
        """(7,) state of the waiting hand: at a pose (4, 4), or the home position of an arm."""
        ...

    def approach(self, path: HandPath) -> FloatArray:
        """(W, 7) states from pregrasp to grasp.

        Raises:
            OutOfReachError: if the path cannot be followed.
        """
        ...

    def along(self, direction: FloatArray, low_m: float, high_m: float) -> Course:
        """The straight line through the target along a unit vector (3,), from low_m <= 0 to high_m >= 0.

        Raises:
            OutOfReachError: if it cannot be followed.
        """
        ...

    def carry(self, position_m: FloatArray, below_m: float = 0.0) -> Course:
        """To a position (3,) above the bin, by any way; an arm may also turn the hand about the vertical axis.

        Args:
            position_m: (3,) of the hand.
            below_m: length of a straight line down that must be possible from there.

        Raises:
            OutOfReachError: if it cannot be reached.
        """
        ...

    def joined(self, state: FloatArray) -> Course:
        """To a state (7,) by the shortest way."""
        ...


class FreeHand:
    """A hand without an arm, which follows a mocap body."""

    teleports = True

    def add(self, mujoco: Any, spec: Any, gripper: GripperConfig, config: GripConfig) -> None:
        """Add the hand to an MjSpec."""
        add_free_hand(mujoco, spec, gripper, config)

    def bind(self, data: Any) -> None:
        """Use the state of the compiled model."""
        self._data = data

    def target_m(self) -> FloatArray:
        """(3,) position of the mocap body."""
        return np.array(self._data.mocap_pos[0])

    def pose(self) -> FloatArray:
        """Current T_world_hand (4, 4)."""
        return matrices(self._data.qpos[None, :7])[0]

    def hold(self) -> None:
        """Make the current state the target."""
        self._data.mocap_pos[0], self._data.mocap_quat[0] = self._data.qpos[:3], self._data.qpos[3:7]

    def at(self, T_world_hand: FloatArray) -> FloatArray:
        """(7,) the pose."""
        return np.asarray(states(T_world_hand[None])[0])

    def waiting(self, T_world_hand: FloatArray) -> FloatArray:
        """(7,) the pose."""
        return self.at(T_world_hand)

    def approach(self, path: HandPath) -> FloatArray:
        """(W, 7) poses on a straight line."""
        return states(path.approach())

    def along(self, direction: FloatArray, low_m: float, high_m: float) -> Course:
        """A straight line."""
        start = self.target_m()

        def follow(way_m: float, speed_m_s: float) -> None:
            self._data.mocap_pos[0] = start + way_m * direction

        return Course(high_m - low_m, np.inf, follow)

    def carry(self, position_m: FloatArray, below_m: float = 0.0) -> Course:
        """A straight line."""
        way = position_m - self.target_m()
        length_m = float(np.linalg.norm(way))
        return self.along(way / max(length_m, 1e-9), 0.0, length_m)

    def joined(self, state: FloatArray) -> Course:
        """A straight line."""
        return self.carry(state[:3])


def states(T: FloatArray) -> FloatArray:
    """(N, 7) MuJoCo's states of free bodies at poses (N, 4, 4): position, quaternion wxyz."""
    return np.concatenate([T[:, :3, 3], np.roll(quat_xyzw_from_rotation(T[:, :3, :3]), 1, axis=-1)], 1)


def matrices(qpos: FloatArray) -> FloatArray:
    """Poses (N, 4, 4) of MuJoCo's states (N, 7) of free bodies."""
    rotation = rotation_from_quat_xyzw(np.roll(qpos[:, 3:], -1, axis=-1))
    return from_rotation_translation(rotation, qpos[:, :3].copy())
