"""Clutter is solid, of a sensible size, reproducible and varied."""

import numpy as np

from binpose_core.meshes.mesh import is_watertight, welded
from binpose_simulation.parts import make_distractor


def test_distractors_are_closed_and_of_a_size_that_fits_a_bin():
    for seed in range(80):
        mesh = make_distractor(np.random.default_rng(seed))
        vertices, faces = welded(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), 0.0)
        assert is_watertight(faces), seed
        assert np.linalg.det(vertices[faces]).sum() > 0.0, seed
        assert 0.01 <= np.ptp(mesh.vertices, axis=0).max() <= 0.2001, seed


def test_a_seed_fixes_the_thing_and_seeds_differ():
    def make(seed):
        return make_distractor(np.random.default_rng(seed)).vertices

    np.testing.assert_array_equal(make(3), make(3))
    assert len({make(seed).tobytes() for seed in range(20)}) == 20
