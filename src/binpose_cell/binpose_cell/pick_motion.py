"""One try: approach, close, lift, shake, place. The physics decides how it ends."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from binpose_cell.config import PickingConfig
from binpose_cell.hand_carrier import HandPath, OutOfReachError
from binpose_cell.pick_world import PEAK, PickWorld
from binpose_core.geometry.transforms import FloatArray, inverse

DROP_M = 0.005
"""Height above the table at which a part is released."""
SPARE_M = 0.01
"""By which an arm must be able to lower the part farther: its joints lag behind, and the part may slip."""
UP_M = 0.05
"""Height by which the hand leaves a placed part."""
TRAY_M = 0.15
"""Largest horizontal distance of a placed part from its spot."""


class PickEnd(Enum):
    """How a try ended; its value says what it means."""

    PLACED = "the part lies where it was to be placed"
    EMPTY = "the fingers closed on nothing"
    LOST_IN_LIFT = "the part was lost while it was lifted"
    LOST_IN_SHAKE = "the part was lost while it was shaken"
    LOST_ON_WAY = "the part was lost on the way to its place"
    SLIPPED = "the part moved in the hand by more than the limit"
    MISPLACED = "the part does not lie where it was to be placed"
    OUT_OF_REACH = "the arm cannot follow the path of the hand"


@dataclass(frozen=True)
class PickResult:
    """What a try led to.

    end: how it ended. part: index of the part that was held, -1 for none. width_m: of the fingers after closing.
    overlap_m: deepest overlap of the approaching hand with bin and parts. slip_m: motion of the part in the hand.
    motion_s: duration of all motions, without the shaking. links: of the arm that touched anything, by name.
    """

    end: PickEnd
    part: int
    width_m: float
    overlap_m: float
    slip_m: float
    motion_s: float
    links: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        """Whether the part was placed."""
        return self.end is PickEnd.PLACED


def execute(world: PickWorld, path: HandPath, place_m: FloatArray, config: PickingConfig) -> PickResult:
    """Try to pick with a hand that follows a path.

    Args:
        world: its state changes.
        path: of the hand.
        place_m: (2,) place on the table.
        config: speeds and limits.
    """
    return _Try(world, path, np.asarray(place_m, np.float64), config).run()


class _Try:
    def __init__(self, world: PickWorld, path: HandPath, place_m: FloatArray, config: PickingConfig) -> None:
        self._world, self._path, self._place_m = world, path, place_m
        self._motion, self._config = config.motion, config
        self._part, self._slip_m, self._shaken_s, self._way_back_s = -1, 0.0, 0.0, 0.0
        self._T_hand_part: FloatArray = np.eye(4)

    def run(self) -> PickResult:
        world, began = self._world, self._world.time_s
        world.touched.clear()
        try:
            carried = world.carrier.approach(self._path)
        except OutOfReachError:
            return PickResult(PickEnd.OUT_OF_REACH, -1, self._path.opening_m, 0.0, 0.0, 0.0)
        overlap_m = world.overlap_m(carried, self._path.opening_m)
        try:
            width_m, end = self._held(carried)
        except OutOfReachError:
            width_m, end = world.width_m(), PickEnd.OUT_OF_REACH
        seconds = world.time_s - began - self._shaken_s + self._way_back_s
        links = tuple(sorted(world.touched))
        return PickResult(end, self._part, width_m, overlap_m, self._slip_m, seconds, links)

    def _held(self, carried: FloatArray) -> tuple[float, PickEnd]:
        """Approach, close and place: the width of the fingers after closing, and the end."""
        world, motion = self._world, self._motion
        world.bring_hand(carried[0], self._path.opening_m, motion.carry_m_s)
        world.move_hand(self._path.T_grasp[:3, 3], motion.approach_m_s)
        world.close_fingers()
        width_m = world.width_m()
        self._part = self._nearest(world.held())
        end = PickEnd.EMPTY if self._part < 0 else self._carried()
        if world.carrier.teleports:
            way_m = float(np.linalg.norm(world.hand_pose()[:3, 3] - self._path.T_pregrasp[:3, 3]))
            self._way_back_s = PEAK * way_m / motion.carry_m_s
        world.open_fingers(world.gripper.opening_m)
        if end is PickEnd.EMPTY:
            world.move_hand(self._path.T_retreat[:3, 3], motion.lift_m_s)
        return width_m, end

    def _carried(self) -> PickEnd:
        """Lift, shake and carry the part, until it is lost."""
        world, motion = self._world, self._motion
        self._T_hand_part = self._in_hand()
        world.move_hand(self._path.T_retreat[:3, 3], motion.lift_m_s)
        above = np.array(self._path.T_retreat[:3, 3], np.float64)
        above[2] = max(above[2], world.bin.height_m + motion.clear_m)
        world.lift_hand(above, motion.lift_m_s)
        if self._part not in world.held():
            return PickEnd.LOST_IN_LIFT
        began = world.time_s
        world.shake_hand(motion.shake_m, motion.shake_hz, motion.shakes)
        self._shaken_s = world.time_s - began
        if self._part not in world.held():
            return PickEnd.LOST_IN_SHAKE
        world.carry_hand(np.array([*self._place_m, above[2]]), motion.carry_m_s, self._height_m + SPARE_M)
        if self._part not in world.held():
            return PickEnd.LOST_ON_WAY
        self._slip_m = float(np.linalg.norm(self._in_hand()[:3, 3] - self._T_hand_part[:3, 3]))
        if self._slip_m > self._config.slip_m:
            return PickEnd.SLIPPED
        return self._placed()

    def _placed(self) -> PickEnd:
        """Lower the part to the table and open the fingers as wide as on the approach: wider, they may hit the part."""
        world = self._world
        down = world.hand_pose()[:3, 3] - [0.0, 0.0, self._height_m]
        world.move_hand(down, self._motion.lift_m_s)
        lost = self._part not in world.held()
        world.open_fingers(self._path.opening_m)
        world.move_hand(down + np.array([0.0, 0.0, UP_M]), self._motion.lift_m_s)
        if lost:
            return PickEnd.LOST_ON_WAY
        away_m = float(np.linalg.norm(world.centers()[self._part, :2] - self._place_m))
        return PickEnd.PLACED if away_m < TRAY_M and self._part not in world.held() else PickEnd.MISPLACED

    @property
    def _height_m(self) -> float:
        """Height of the part above the place where it is released."""
        return max(self._world.lowest_m(self._part) - DROP_M, 0.0)

    def _in_hand(self) -> FloatArray:
        return inverse(self._world.hand_pose()) @ self._world.poses()[self._part]

    def _nearest(self, held: list[int]) -> int:
        """The held part that is nearest to the tool centre point, -1 for none."""
        if not held:
            return -1
        away = np.linalg.norm(self._world.centers()[held] - self._world.hand_pose()[:3, 3], axis=1)
        return held[int(away.argmin())]
