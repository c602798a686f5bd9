"""Which surface cameras see."""

import numpy as np
import trimesh

from binpose_core.meshes.mesh import Mesh, surface_samples
from binpose_core.rendering.surface import is_visible, seen_samples, view_rotations, visible_samples


def mesh_of(*parts: trimesh.Trimesh) -> Mesh:
    whole = trimesh.util.concatenate(parts)
    return Mesh(whole.vertices.astype(np.float32), whole.faces.astype(np.int32))


def test_what_is_inside_is_not_seen(rng):
    """Samples come from the box outside, never from the one within."""
    mesh = mesh_of(trimesh.creation.box((0.04, 0.04, 0.04)), trimesh.creation.box((0.02, 0.02, 0.02)))
    for points, normals in (visible_samples(mesh, 2000, rng), seen_samples(mesh, 2000, rng)):
        assert points.shape == normals.shape == (2000, 3)
        assert np.allclose(np.abs(points).max(axis=1), 0.02, atol=1e-5)
        assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)


def test_all_of_a_convex_part_is_seen(rng):
    """Nothing of a sphere is hidden, and the samples spread evenly over it."""
    mesh = mesh_of(trimesh.creation.icosphere(3, 0.02))
    assert is_visible(mesh, surface_samples(mesh, 1000, rng)[0]).all()
    points, _ = visible_samples(mesh, 4000, rng)
    assert np.linalg.norm(points.mean(axis=0)) < 0.02 * 0.02
    assert np.allclose(np.abs(points).mean(axis=0), 0.01, rtol=0.03)


def test_parts_that_hide_nearly_everything_still_give_samples(rng):
    """A thin lid over many layers: most draws are hidden, the answer is full all the same."""
    layers = [
        trimesh.creation.box((0.03, 0.03, 0.0005)).apply_translation([0, 0, z]) for z in np.linspace(-0.01, 0.01, 30)
    ]
    mesh = mesh_of(trimesh.creation.box((0.04, 0.04, 0.03)), *layers)
    points, _ = visible_samples(mesh, 1500, rng)
    assert points.shape == (1500, 3) and (np.abs(points) / [0.02, 0.02, 0.015]).max(axis=1).min() > 0.99


def test_views_come_from_all_around():
    """Proper rotations whose directions cover the sphere."""
    rotation = view_rotations(60)
    assert np.allclose(rotation @ np.swapaxes(rotation, 1, 2), np.eye(3)) and np.allclose(np.linalg.det(rotation), 1)
    cosines = rotation[:, 2] @ rotation[:, 2].T - 2 * np.eye(60)
    assert cosines.max(axis=1).min() > np.cos(np.deg2rad(35)) and cosines.max() < np.cos(np.deg2rad(12))
