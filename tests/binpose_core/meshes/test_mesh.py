"""Areas, samples, diameter and closedness of meshes with known answers."""

import pickle
import time
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import trimesh

from binpose_core.geometry.diameters import farthest_distance
from binpose_core.meshes import mesh as mesh_module
from binpose_core.meshes import solids
from binpose_core.meshes.mesh import Mesh, is_watertight, sample_faces, signed_volumes, surface_samples, welded


def box(extents: tuple[float, float, float] = (0.06, 0.04, 0.02)) -> Mesh:
    part = trimesh.creation.box(extents)
    return Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))


def test_volumes_of_faces_sum_up_to_that_of_the_part() -> None:
    mesh = box()
    moved = Mesh(mesh.vertices + np.float32(0.5), mesh.faces)
    for part, sign in ((mesh, 1), (moved, 1), (Mesh(mesh.vertices, mesh.faces[:, ::-1]), -1)):
        volume = np.prod(np.ptp(mesh.vertices, axis=0))
        assert signed_volumes(part.vertices, part.faces).sum() == pytest.approx(sign * volume, rel=1e-4)


def test_meshes_are_equal_to_themselves_alone() -> None:
    one, other = box(), box()
    assert one != other and len({one, other, one}) == 2


def test_areas_and_normals_of_a_box():
    """The areas add up to the box's, and the normals point outwards."""
    areas, normals = box().face_areas, box().face_normals
    assert areas.sum() == pytest.approx(2 * (0.06 * 0.04 + 0.04 * 0.02 + 0.06 * 0.02))
    middles = box().vertices[box().faces].mean(axis=1)
    assert ((normals * middles).sum(axis=1) > 0).all()


def test_samples_follow_the_area(rng):
    """Each side of the box gets its share to within a few points, and lies on its plane."""
    points, normals = surface_samples(box(), 4400, rng)
    assert points.dtype == normals.dtype == np.float32
    for axis, (half, share) in enumerate(((0.03, 8), (0.02, 12), (0.01, 24))):
        chosen = np.abs(normals[:, axis]) > 0.5
        assert abs(chosen.sum() - 4400 * share / 44) <= 4
        assert np.allclose(np.abs(points[chosen, axis]), half)


def test_the_first_samples_are_a_fair_subset(rng):
    """The order is random: 1000 of 8000 cover the box as well as all do."""
    points, faces = sample_faces(box(), 8000, rng)
    assert np.abs(points[:1000].mean(axis=0)).max() < 0.002
    assert len(np.unique(faces[:1000])) == 12


def test_diameter_is_the_largest_vertex_distance(rng):
    """As every pair tried gives it; unused vertices do not count; flat parts have one too."""
    points = rng.normal(size=(300, 3))
    every_pair = np.linalg.norm(points[:, None] - points[None], axis=-1).max()
    assert farthest_distance(points) == pytest.approx(every_pair)
    assert box().diameter_m == pytest.approx(np.sqrt(0.06**2 + 0.04**2 + 0.02**2), rel=1e-6)
    stray = Mesh(np.concatenate([box().vertices, [[9, 9, 9]]]).astype(np.float32), box().faces)
    assert stray.diameter_m == pytest.approx(box().diameter_m)
    flat = Mesh(np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0]], np.float32), np.array([[0, 1, 2]], np.int32))
    assert flat.diameter_m == pytest.approx(5)


def test_the_center_is_that_of_the_bounding_box():
    """Not the mean of the vertices."""
    mesh = box()
    moved = Mesh(np.concatenate([mesh.vertices, mesh.vertices[:1]]) + np.float32(0.5), mesh.faces)
    assert np.allclose(moved.box_center_m, 0.5)


def test_watertight_means_that_every_edge_has_its_partner():
    """A box is, a box without a face is not, nor is nothing; two boxes that share an edge are."""
    faces = box().faces
    assert is_watertight(faces) and not is_watertight(faces[1:]) and not is_watertight(faces[:0])
    vertices = np.concatenate([box().vertices, box().vertices + np.array([0.06, 0.04, 0])])
    vertices, faces = welded(vertices, np.concatenate([faces, faces + 8]).astype(np.int64), 1e-6)
    assert len(vertices) == 14 and is_watertight(faces)


def test_welding_joins_a_soup_of_triangles():
    """Three own corners per triangle become a box's eight; faces that collapse or repeat go."""
    soup = box().vertices[box().faces].reshape(-1, 3).astype(np.float64)
    faces = np.arange(36).reshape(12, 3)
    vertices, welded_faces = welded(soup, np.concatenate([faces, faces[:2], [[0, 0, 1]]]), 0.0)
    assert len(vertices) == 8 and len(welded_faces) == 12 and is_watertight(welded_faces)


@pytest.mark.parametrize("shape", ["ball", "ellipsoid", "half ball", "cylinder", "noise"])
def test_many_points_on_the_hull_give_the_largest_distance(shape, rng):
    """As every pair tried gives it, wherever the points and their centre lie."""
    points = rng.normal(size=(2500, 3))
    if shape != "noise":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    if shape == "ellipsoid":
        points *= [1.0, 0.7, 0.5]
    if shape == "half ball":
        points[:, 2] = np.abs(points[:, 2])
    if shape == "cylinder":
        points[:, :2] /= np.linalg.norm(points[:, :2], axis=1, keepdims=True)
    points = points + 3.0
    every_pair = np.linalg.norm(points[:, None] - points[None], axis=-1).max()
    assert farthest_distance(points) == pytest.approx(every_pair, rel=1e-12)


def test_the_diameter_of_a_fine_ball_takes_no_quadratic_time():
    """A few hundred pairs of boxes decide, not 1e10 pairs of points: minutes otherwise."""
    ball = trimesh.creation.icosphere(7, 20.0).vertices
    assert len(ball) > 160_000
    began = time.process_time()
    assert farthest_distance(ball) == pytest.approx(40.0)
    assert time.process_time() - began < 10


def test_what_follows_from_a_mesh_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew for another mesh, such as a copy with other vertices."""
    calls = []

    def count(module: ModuleType, name: str) -> None:
        function = getattr(module, name)

        def call(*given: object) -> object:
            calls.append(name)
            return function(*given)

        monkeypatch.setattr(module, name, call)

    for name in ("areas_normals", "farthest_distance", "is_watertight"):
        count(mesh_module, name)
    count(solids, "is_solid")
    mesh = box()
    for _ in range(3):
        assert mesh.face_areas is mesh.face_areas and mesh.face_normals is mesh.face_normals
        assert mesh.box_center_m is mesh.box_center_m and mesh.watertight and mesh.solid
        size_m = mesh.diameter_m
    assert sorted(calls) == ["areas_normals", "farthest_distance", "is_solid", "is_watertight"]
    larger = replace(mesh, vertices=2 * mesh.vertices)
    assert larger.diameter_m == pytest.approx(2 * size_m) and larger.face_areas.sum() == pytest.approx(
        4 * mesh.face_areas.sum()
    )


def test_what_follows_from_a_mesh_does_not_travel_with_it() -> None:
    mesh = box()
    plain = pickle.dumps(mesh)
    assert mesh.face_areas.sum() > 0 and mesh.diameter_m > 0 and pickle.dumps(mesh) == plain
    same = pickle.loads(plain)
    np.testing.assert_array_equal(same.vertices, mesh.vertices)
    np.testing.assert_array_equal(same.face_normals, mesh.face_normals)
