"""Symmetric copies of grasps: one representative is stored, all copies are made from it when they are needed.

Two grasps of a parallel hand are copies of each other if a symmetry of the part maps the closing line of one to that of
the other: the hand may be turned about this line (see `turning`). Suction grasps are copies with any turn of the cup
about its axis.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.grasps import SUCTION, GraspSet
from binpose_core.parts.symmetries import Symmetries

FOLD_STEP_RAD = np.deg2rad(5)
EXPAND_STEP_RAD = np.deg2rad(15)


def fold(grasps: GraspSet, symmetries: Symmetries, near_m: float, near_rad: float, most: int) -> GraspSet:
    """The first grasps that differ from all earlier ones modulo the symmetries, at most `most`.

    Args:
        grasps: best first.
        symmetries: of the part.
        near_m: grasps differ if the middles of their contacts are farther apart.
        near_rad: grasps differ if the angle between their closing lines (or cups) is larger.
        most: largest number of grasps.
    """
    motions = symmetries.transforms(FOLD_STEP_RAD)
    middle, axis = grasps.contacts_m.mean(axis=1), grasps.axes
    left = np.ones(len(grasps), np.bool_)
    chosen: list[int] = []
    while left.any() and len(chosen) < most:
        first = int(np.argmax(left))
        chosen.append(first)
        left[first] = False
        rest = np.flatnonzero(left & (grasps.tool == grasps.tool[first]))
        places = motions[:, :3, :3] @ middle[first] + motions[:, :3, 3]
        distance_m = np.linalg.norm(middle[rest, None] - places, axis=-1)
        along = axis[rest] @ (motions[:, :3, :3] @ axis[first]).T
        if grasps.tool[first] != SUCTION:
            along = np.abs(along)  # the fingers are equal
        near = (distance_m <= near_m) & (np.arccos(np.clip(along, -1, 1)) <= near_rad)
        left[rest[near.any(axis=1)]] = False
    return grasps.take(np.array(chosen, np.int64))


def expand(
    grasps: GraspSet, symmetries: Symmetries, step_rad: float = EXPAND_STEP_RAD
) -> tuple[GraspSet, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """All symmetric copies of the grasps; continuous symmetries in steps.

    Args:
        grasps: in the part's frame.
        symmetries: of the part.
        step_rad: largest step of continuous symmetries.

    Returns:
        N copies, the number of the grasp that each is a copy of (N,), and the number of the symmetry (N,). The copies
        of a grasp are adjacent, and the grasp itself is the first of them.
    """
    motions = symmetries.transforms(step_rad)
    owner, motion = (rows.ravel() for rows in np.indices((len(grasps), len(motions))))
    repeated, moved = grasps.take(owner), motions[motion]
    contacts: FloatArray = repeated.contacts_m @ np.swapaxes(moved[:, :3, :3], 1, 2) + moved[:, None, :3, 3]
    return replace(repeated, T_obj_hand=moved @ repeated.T_obj_hand, contacts_m=contacts), owner, motion
