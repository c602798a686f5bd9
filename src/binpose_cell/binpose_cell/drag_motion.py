"""A drag: the closed hand is lowered onto a part, pulls it along a straight line and leaves it there."""

import numpy as np

from binpose_cell.config import PickingConfig
from binpose_cell.hand_carrier import HandPath, OutOfReachError
from binpose_cell.pick_world import PickWorld
from binpose_core.frames.types import Drag
from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.drags import UP

ABOVE_M, SLOW_M, STEP_M = 0.08, 0.005, 0.00025
"""Height from which the hand comes, height from which it is lowered slowly, and the steps of that."""


def execute_drag(world: PickWorld, drag: Drag, config: PickingConfig) -> bool:
    """Drag what the finger tips touch.

    Args:
        world: its state changes.
        drag: in the world frame.
        config: speeds, and how firmly the hand presses.

    Returns:
        Whether the fingers touched a part and the way was possible.
    """
    motion, T_world_hand = config.drag, drag.T_cam_hand
    T_above = T_world_hand.copy()
    T_above[2, 3] += ABOVE_M
    path = HandPath(T_above, T_world_hand, T_above, 0.0)
    try:
        world.bring_hand(world.carrier.approach(path)[0], 0.0, config.motion.carry_m_s)
        world.move_hand(T_world_hand[:3, 3] + SLOW_M * UP, config.motion.approach_m_s)
        touched = _lowered(world, T_world_hand[:3, 3], config)
        if touched:
            target = world.carrier.target_m() - motion.press_m * UP
            world.move_hand(target, motion.press_m_s)
            world.move_hand(target + drag.length_m * drag.direction, motion.drag_m_s)
        world.move_hand(world.carrier.target_m() + ABOVE_M * UP, config.motion.lift_m_s)
    except OutOfReachError:
        return False
    return touched


def _lowered(world: PickWorld, expected_m: FloatArray, config: PickingConfig) -> bool:
    """Lower the hand until its fingers touch a part; False if there is none."""
    for height_m in np.arange(SLOW_M, -config.drag.search_m, -STEP_M):
        position_m = expected_m + height_m * UP
        if position_m[2] <= world.gripper.pad_m + config.collision_m:
            return False  # at the floor
        world.move_hand(position_m, config.drag.press_m_s)
        if world.touching():
            return True
    return False
