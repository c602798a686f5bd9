"""Hands turned about their closing line: the contacts stay, the direction of approach changes.

A search stores one hand per closing line. In a bin, walls and neighbours leave only some directions of approach free,
so that the planner needs all of them.
"""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.grasps import PARALLEL, GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import FACES, depths_m, hands_at
from binpose_grasping.gripper import GripperConfig, hand_boxes
from binpose_grasping.overlaps import boxes_touch_mesh


def all_turns(
    part: ObjectModel, grasps: GraspSet, gripper: GripperConfig, turns: int, depths: int
) -> tuple[GraspSet, npt.NDArray[np.intp]]:
    """All free hands at the contacts of the grasps; suction grasps as they are.

    Args:
        part: that the hands may not touch on their approach.
        grasps: L of them.
        gripper: the hand.
        turns: number of directions of approach about each closing line.
        depths: number of positions of the contacts between the tool centre point and the finger tips.

    Returns:
        N grasps, and the number of the closing line of each (N,), which is that of the given grasp. A line on which no
        other hand is free keeps its own. The quality falls towards the finger tips: they are for what lies flat.
    """
    parallel, others = np.flatnonzero(grasps.tool == PARALLEL), np.flatnonzero(grasps.tool != PARALLEL)
    hands = hands_at(grasps.contacts_m[parallel], gripper, turns, depths).reshape(-1, 4, 4)
    line = np.repeat(parallel, turns * depths)
    firm = np.tile(1 - depths_m(gripper, depths) / max(gripper.pad_m, 1e-9), len(parallel) * turns)
    free = free_of_part(part, gripper, hands, grasps.width_m[line])
    own = np.setdiff1d(parallel, line[free])
    every = np.concatenate([line[free], own, others])
    T_obj_hand = np.concatenate([hands[free], grasps.T_obj_hand[own], grasps.T_obj_hand[others]])
    firmness = np.concatenate([firm[free], np.ones(len(own) + len(others))])
    order = np.argsort(every, kind="stable")
    taken = grasps.take(every[order])
    quality = taken.quality * firmness[order]
    return GraspSet(
        T_obj_hand[order], taken.width_m, quality, taken.success, taken.contacts_m, taken.tool, grasps.info
    ), every[order]


def free_of_part(
    part: ObjectModel, gripper: GripperConfig, T_obj_hand: FloatArray, width_m: FloatArray
) -> npt.NDArray[np.bool_]:
    """(N,) whether open hands (N, 4, 4) for widths (N,) touch the part nowhere on their approach."""
    mesh = part.lod(FACES)
    low, high = hand_boxes(gripper, width_m, part.diameter_m)
    return ~boxes_touch_mesh(inverse(T_obj_hand), low, high, mesh.vertices.astype(np.float64)[mesh.faces])
