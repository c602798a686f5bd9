"""Levels of detail keep the shape, and say how well."""

import numpy as np
import trimesh

from binpose_core.meshes.closest import distance_reference
from binpose_core.meshes.decimation import decimated, levels_of_detail, surface_error_m
from binpose_core.meshes.mesh import Mesh, sample_faces


def test_levels_descend_and_keep_the_shape(rng):
    """Fewer faces, larger errors, each error an upper bound for nearly all of the surface."""
    part = trimesh.creation.icosphere(5, 0.03)
    mesh = Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))
    levels, errors_m = levels_of_detail(mesh)
    assert [len(level.faces) <= 1.5 * count for level, count in zip(levels, (5000, 1000, 300), strict=True)] == [
        True
    ] * 3
    assert list(errors_m) == sorted(errors_m) and 0 < errors_m[-1] < 0.02 * mesh.diameter_m
    distances = distance_reference(levels[-1], sample_faces(mesh, 300, rng)[0])
    assert (distances <= 1.05 * errors_m[-1]).mean() > 0.99


def test_coarse_meshes_need_no_levels():
    """A box has none."""
    part = trimesh.creation.box((0.06, 0.04, 0.02))
    assert levels_of_detail(Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))) == ((), ())


def test_the_error_is_the_distance_between_surfaces():
    """A box against the same box 1 mm aside, and the cap."""
    part = trimesh.creation.box((0.06, 0.04, 0.02))
    mesh = Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))
    aside = Mesh(mesh.vertices + np.float32([0, 0, 0.001]), mesh.faces)
    assert np.isclose(surface_error_m(mesh, aside, 0.01), 0.001, rtol=1e-3)
    assert np.isclose(surface_error_m(mesh, aside, 0.0005), 0.0005)


def test_decimation_does_not_depend_on_the_scale():
    """A part of 1 m and one of 10 mm give the same triangles."""
    part = trimesh.creation.icosphere(4, 1.0)
    large = Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))
    small = Mesh((part.vertices * 2.0**-7).astype(np.float32), large.faces)
    assert np.array_equal(decimated(large, 500).faces, decimated(small, 500).faces)
