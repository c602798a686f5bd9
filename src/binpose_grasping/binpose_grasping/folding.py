"""Symmetric copies of grasps: one representative is stored, all copies are made from it when they are needed.

Two grasps are copies of each other if a symmetry of the part maps one to the other, with or without the half turn of a
parallel hand about its approach, or any turn of a suction cup about its axis.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.grasps import PARALLEL, SUCTION, GraspSet
from binpose_core.parts.symmetries import Symmetries

HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
FOLD_STEP_RAD = np.deg2rad(5)
EXPAND_STEP_RAD = np.deg2rad(15)


def fold(grasps: GraspSet, symmetries: Symmetries, near_m: float, near_rad: float, most: int) -> GraspSet:
    """The first grasps that differ from all earlier ones modulo the symmetries, at most `most`.

    Args:
        grasps: best first.
        symmetries: of the part.
        near_m: grasps differ if their tool centre points are farther apart.
        near_rad: grasps differ if their orientations are farther apart.
        most: largest number of grasps.
    """
    motions = symmetries.transforms(FOLD_STEP_RAD)
    position, rotation = grasps.T_obj_hand[:, :3, 3], grasps.T_obj_hand[:, :3, :3]
    left = np.ones(len(grasps), np.bool_)
    chosen: list[int] = []
    while left.any() and len(chosen) < most:
        first = int(np.argmax(left))
        chosen.append(first)
        copies = motions @ grasps.T_obj_hand[first]
        rest = np.flatnonzero(left & (grasps.tool == grasps.tool[first]))
        near = _near(copies, int(grasps.tool[first]), position[rest], rotation[rest], near_m, near_rad)
        left[rest[near]] = False
        left[first] = False
    return grasps.take(np.array(chosen, np.int64))


def expand(
    grasps: GraspSet, symmetries: Symmetries, step_rad: float = EXPAND_STEP_RAD, half_turn: bool = True
) -> GraspSet:
    """All symmetric copies of the grasps; continuous symmetries in steps.

    The copies of a grasp are adjacent, and the grasp itself is the first of them.

    Args:
        grasps: in the part's frame.
        symmetries: of the part.
        step_rad: largest step of continuous symmetries.
        half_turn: whether parallel hands are also turned by half, which matters to an arm alone.
    """
    motions = symmetries.transforms(step_rad)
    turns = np.stack([np.eye(4), HALF_TURN][: 1 + half_turn])
    copies = motions[None, :, None] @ grasps.T_obj_hand[:, None, None] @ turns  # (N, K, 1 or 2, 4, 4)
    used = np.ones(copies.shape[:3], np.bool_)
    used[grasps.tool == SUCTION, :, 1:] = False
    owner, motion, turn = np.nonzero(used)
    repeated = grasps.take(owner)
    contacts = repeated.contacts_m @ np.swapaxes(motions[motion, :3, :3], 1, 2) + motions[motion, None, :3, 3]
    contacts = np.where(turn[:, None, None] == 1, contacts[:, ::-1], contacts)
    return replace(repeated, T_obj_hand=copies[owner, motion, turn], contacts_m=contacts)


def _near(
    copies: FloatArray, tool: int, position: FloatArray, rotation: FloatArray, near_m: float, near_rad: float
) -> npt.NDArray[np.bool_]:
    """(R,) which hands are near any of the copies (K, 4, 4)."""
    distance_m = np.linalg.norm(position[:, None] - copies[None, :, :3, 3], axis=-1)
    z = np.einsum("ri,ki->rk", rotation[:, :, 2], copies[:, :3, 2])
    if tool != PARALLEL:
        angle = np.arccos(np.clip(z, -1, 1))
    else:
        x = np.einsum("ri,ki->rk", rotation[:, :, 0], copies[:, :3, 0])
        y = np.einsum("ri,ki->rk", rotation[:, :, 1], copies[:, :3, 1])
        trace = z + np.abs(x + y)  # the larger one of both half turns
        angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
    return np.asarray(((distance_m <= near_m) & (angle <= near_rad)).any(axis=1))
