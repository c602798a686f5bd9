"""The fast distances against the readable ones."""

import numpy as np
import trimesh

from binpose_core.meshes.closest import DistanceField, distance_reference
from binpose_core.meshes.mesh import Mesh, sample_faces


def test_agrees_with_every_triangle_tried(rng):
    """Inside, outside, on edges and corners, and beyond the cap."""
    part = trimesh.creation.cone(0.02, 0.04, sections=17)
    mesh = Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))
    points = np.concatenate([rng.uniform(-0.03, 0.07, (500, 3)), mesh.vertices])
    field = DistanceField(mesh, cap_m=0.01)
    distances, faces = field.nearest(points)
    expected = distance_reference(mesh, points)
    assert np.allclose(distances, np.minimum(expected, 0.01), atol=1e-12)
    assert np.array_equal(faces >= 0, expected < 0.01)


def test_surface_points_are_at_distance_zero_on_their_face(rng):
    """Points of the surface lie on it, and the face that is named holds them."""
    part = trimesh.creation.annulus(0.01, 0.02, 0.01, sections=30)
    mesh = Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))
    points, _ = sample_faces(mesh, 1000, rng)
    field = DistanceField(mesh, cap_m=0.001)
    distances, faces = field.nearest(points.reshape(10, 100, 3))
    assert distances.shape == (10, 100) and distances.max() < 1e-9
    off_plane = ((points.reshape(10, 100, 3) - field.anchors[faces]) * field.normals[faces]).sum(-1)
    assert np.abs(off_plane).max() < 1e-9


def test_degenerate_faces_are_harmless():
    """A face without area counts as the line or point that it is."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]], dtype=np.float32)
    mesh = Mesh(vertices, np.array([[0, 1, 2], [0, 1, 3], [3, 3, 3]], dtype=np.int32))
    points = np.array([[1.5, 0, 0.5], [0.2, 0.2, 0.1], [0.0, 1.2, 0.0]])
    assert np.allclose(DistanceField(mesh, 1.0)(points), [0.5, 0.1, 0.2])
    assert np.allclose(distance_reference(mesh, points), [0.5, 0.1, 0.2])
