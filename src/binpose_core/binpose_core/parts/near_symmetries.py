"""Near-symmetries: motions that map most of a part onto itself and differ in a detail.

Where the detail is hidden, such poses cannot be distinguished. The networks are therefore trained modulo
near-symmetries; inference expands them, and the rendering decides.
"""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, rotation_angle_rad
from binpose_core.meshes.registration import register
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries, rotations_about
from binpose_core.parts.symmetry_test import SymmetryConfig, SymmetryTest

MAX_PRODUCTS = 24
NEAR_APART_RAD = np.deg2rad(20)
POLISHED_POINTS, POLISHING, MAX_POLISH_RAD = 1000, (0.02, 0.002, 16), np.deg2rad(5)
"""Number of points, robust scales (first, last, number; fractions of the size) and largest correction of a motion."""


def near_symmetries(
    exact: Symmetries, motions: FloatArray, axes: list[ContinuousSymmetry], test: SymmetryTest, config: SymmetryConfig
) -> FloatArray:
    """Near-symmetries (M, 4, 4) that the exact ones do not cover.

    A part that is nearly round about an axis gets equal steps about it. Then the other motions follow, best first, each
    with its products with those steps and with the exact symmetries.
    """
    rolls = _near_rolls(axes, test, config)
    left = exact.discrete if len(exact.discrete) <= MAX_PRODUCTS else np.eye(4)[None]
    motions = _polished(motions, test)
    fraction = test.fraction_kept(motions) if len(motions) else np.zeros(0)
    pool = [np.eye(4), *motions[np.argsort(-fraction, kind="stable")[: int((fraction >= config.near_share).sum())]]]
    kept: FloatArray = np.zeros((0, 4, 4))
    for motion in pool:
        known = np.concatenate([exact.discrete, kept])
        if motion is not pool[0] and _apart_rad(motion, known, exact.continuous).min() < NEAR_APART_RAD:
            continue
        family = (left[:, None] @ motion @ rolls[None]).reshape(-1, 4, 4)
        for member in family[test.fraction_kept(family) >= config.near_share]:
            known = np.concatenate([exact.discrete, kept])
            if len(kept) < config.max_near and _apart_rad(member, known, exact.continuous).min() > NEAR_APART_RAD:
                kept = np.concatenate([kept, member[None]])
    return kept


def _polished(motions: FloatArray, test: SymmetryTest) -> FloatArray:
    """The motions registered more accurately: a detail without a match has tilted some of them by degrees."""
    if not len(motions):
        return motions
    points, normals = test.points[:POLISHED_POINTS], test.normals[:POLISHED_POINTS]
    first, last, count = POLISHING
    found = register(points, normals, test.field, motions, np.geomspace(first, last, count) * test.size_m)
    moved = rotation_angle_rad(motions[:, :3, :3], found[:, :3, :3])
    better = (moved < MAX_POLISH_RAD) & (test.deviation_m(found) < test.deviation_m(motions))
    return np.where(better[:, None, None], found, motions)


def _near_rolls(axes: list[ContinuousSymmetry], test: SymmetryTest, config: SymmetryConfig) -> FloatArray:
    """Rotations (K, 4, 4) in equal steps about the axis of a nearly round part; else the identity."""
    steps = np.arange(round(2 * np.pi / config.near_step_rad)) * config.near_step_rad
    best: FloatArray = np.eye(4)[None]
    best_fraction = config.near_share
    for line in axes:
        turns = rotations_about(line.axis, line.offset, steps)
        promising = test.fraction_kept(turns[1:4], 200).min() > config.near_share - 0.1
        least = float(test.fraction_kept(turns).min()) if promising else 0.0
        if least >= best_fraction:
            best, best_fraction = turns, least
    return best


def _apart_rad(
    motion: FloatArray, others: FloatArray, continuous: tuple[ContinuousSymmetry, ...]
) -> npt.NDArray[np.floating]:
    """Angles (K,) between a motion and others (K, 4, 4), without rotations about a continuous axis."""
    if not continuous:
        return np.asarray(rotation_angle_rad(others[:, :3, :3], motion[:3, :3]))
    axis = continuous[0].axis
    return np.arccos(np.clip((others[:, :3, :3] @ axis) @ (motion[:3, :3] @ axis), -1, 1))
