"""Generated parts: watertight, of usable size, all different, and always the same for the same number."""

import itertools

import numpy as np
import pytest
import trimesh

from binpose_simulation.parts.generator import FAMILIES, generated_part

NUMBERS = range(4 * len(FAMILIES))


@pytest.fixture(scope="module")
def parts():
    return [generated_part(number) for number in NUMBERS]


def test_each_is_one_closed_solid_of_the_size_of_a_part(parts):
    for number, mesh in zip(NUMBERS, parts, strict=True):
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert solid.is_watertight and solid.volume > 0, number
        assert solid.body_count == 1, number
        longest = np.ptp(mesh.vertices, axis=0).max()
        assert 0.03 < longest < 0.13, (number, longest)
        np.testing.assert_allclose(mesh.vertices.max(0) + mesh.vertices.min(0), 0, atol=1e-5)


def test_no_two_are_alike(parts):
    sizes = np.array([[*np.ptp(mesh.vertices, axis=0), len(mesh.faces)] for mesh in parts])
    for a, b in itertools.combinations(range(len(parts)), 2):
        assert np.abs(sizes[a] - sizes[b]).max() > 1e-4, (a, b)


def test_a_number_always_gives_the_same_part(parts):
    again = generated_part(11)
    np.testing.assert_array_equal(again.vertices, parts[11].vertices)
    np.testing.assert_array_equal(again.faces, parts[11].faces)
