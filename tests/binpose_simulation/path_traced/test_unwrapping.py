import numpy as np
import trimesh

from binpose_core.meshes.mesh import Mesh
from binpose_simulation.path_traced.unwrapping import box_coordinates, turned_coordinates

AXIS = np.array([0.0, 0.0, 1.0])
RADIUS_M = 0.02


def mesh_of(shape):
    return Mesh(np.asarray(shape.vertices, np.float32), np.asarray(shape.faces, np.int32))


def test_grooves_of_a_turned_part_run_around_its_axis():
    mesh = mesh_of(trimesh.creation.cylinder(RADIUS_M, 0.05, sections=48))
    uv = turned_coordinates(mesh, AXIS)
    corners = mesh.vertices[mesh.faces]
    jacket = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]) < 1e-9
    np.testing.assert_allclose(np.ptp(uv[jacket, :, 0], axis=1), np.ptp(corners[jacket, :, 2], axis=1), atol=1e-6)
    np.testing.assert_allclose(np.ptp(uv[jacket, :, 1], axis=1), 2 * np.pi * RADIUS_M / 48, rtol=0.01)
    # on the flat ends, u is the distance from the axis
    np.testing.assert_allclose(uv[~jacket, :, 0], np.linalg.norm(corners[~jacket, :, :2], axis=-1), atol=1e-6)


def test_no_face_spans_the_cut_of_the_angle():
    mesh = mesh_of(trimesh.creation.cylinder(RADIUS_M, 0.05, sections=48))
    assert np.ptp(turned_coordinates(mesh, AXIS)[..., 1], axis=1).max() < np.pi * RADIUS_M


def test_box_coordinates_keep_lengths_on_faces_along_the_axes():
    mesh = mesh_of(trimesh.creation.box((0.03, 0.02, 0.012)))
    uv, corners = box_coordinates(mesh), mesh.vertices[mesh.faces]
    for first, second in ((0, 1), (1, 2), (0, 2)):
        in_texture = np.linalg.norm(uv[:, first] - uv[:, second], axis=1)
        np.testing.assert_allclose(
            in_texture, np.linalg.norm(corners[:, first] - corners[:, second], axis=1), atol=1e-7
        )
