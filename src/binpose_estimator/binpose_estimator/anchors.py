"""Rotations spread evenly over SO(3), from which a network predicts deviations."""

import functools

import numpy as np

from binpose_core.geometry.transforms import FloatArray, exp_so3

GOLDEN_RATIO = (1.0 + np.sqrt(5.0)) / 2.0
SAME_ROTATION = 1e-6


@functools.cache
def icosahedral_rotations() -> FloatArray:
    """The rotations (60, 3, 3) that map an icosahedron onto itself, identity first; read-only.

    They are the anchors of Chen et al. (2022) and Tian et al. (2020). Two neighbours are 72 degrees apart, and no
    rotation is farther than 45 degrees from all of them.
    """
    vertex, face = np.array([0.0, 1.0, GOLDEN_RATIO]), np.ones(3)
    turns = [exp_so3(angle * axis / np.linalg.norm(axis)) for axis, angle in _turns(vertex, face)]
    group = [np.eye(3)]
    for element in group:  # the list grows while it is walked
        for product in (turn @ element for turn in turns):
            if min(np.abs(product - other).max() for other in group) > SAME_ROTATION:
                group.append(product)
    rotations = np.array(group)
    rotations.setflags(write=False)
    return rotations


def _turns(vertex: FloatArray, face: FloatArray) -> list[tuple[FloatArray, float]]:
    """Generators of the group: a fifth of a turn about a vertex, and a third about the centre of a face."""
    return [(vertex, 2.0 * np.pi / 5.0), (face, 2.0 * np.pi / 3.0)]
