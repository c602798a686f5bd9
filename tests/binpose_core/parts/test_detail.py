"""A part is drawn as coarsely as its size in the image allows, and no more so."""

import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.detail import DetailLadders
from binpose_core.parts.objects import ObjectModel, make_object
from binpose_core.parts.symmetries import Symmetries
from binpose_core.rendering.renderer import Renderer

SIZE = 100
INTRINSICS = np.array([500.0, 500.0, 49.5, 49.5])


@pytest.fixture(scope="module")
def parts() -> list[ObjectModel]:
    """One without levels of detail, one with three."""
    box, ball = trimesh.creation.box((0.04, 0.03, 0.02)), trimesh.creation.icosphere(5, 0.02)
    ball.apply_translation([0.01, 0, 0])
    meshes = [Mesh(np.asarray(m.vertices, np.float32), np.asarray(m.faces, np.int32)) for m in (box, ball)]
    return [make_object(mesh, name, 1, Symmetries.none()) for mesh, name in zip(meshes, ("box", "ball"), strict=True)]


def at(*depths_m: float) -> np.ndarray:
    places = np.array([[0, 0, z] for z in depths_m])
    return from_rotation_translation(random_rotation(np.random.default_rng(1), (len(places),)), places)


def test_farther_parts_have_fewer_faces(parts: list[ObjectModel]) -> None:
    ladders = DetailLadders(parts)
    ids = ladders.mesh_ids(np.ones(40, int), at(*np.geomspace(0.03, 100, 40)), INTRINSICS)
    assert (np.diff(ids) >= 0).all() and set(ids) == {1, 2, 3, 4}
    assert ladders.meshes[ids[0]] is parts[1].mesh and ladders.meshes[ids[-1]] is parts[1].lods[-1]


def test_a_coarser_camera_does_with_less(parts: list[ObjectModel]) -> None:
    ladders, T_cam_obj = DetailLadders(parts), at(0.3, 0.3)
    fine, coarse = ladders.mesh_ids(np.ones(2, int), T_cam_obj, np.array([10 * INTRINSICS, INTRINSICS / 10]))
    assert fine < coarse


def test_a_part_without_levels_is_drawn_as_it_is(parts: list[ObjectModel]) -> None:
    assert DetailLadders(parts).mesh_ids(np.zeros(2, int), at(0.1, 1000.0), INTRINSICS).tolist() == [0, 0]


@pytest.mark.parametrize("depth_m", [0.0, -0.5, np.nan])
def test_around_or_behind_the_camera_nothing_is_saved(parts: list[ObjectModel], depth_m: float) -> None:
    assert DetailLadders(parts).mesh_ids(np.ones(1, int), at(depth_m), INTRINSICS).tolist() == [1]


def test_the_drawing_is_off_by_no_more_than_was_allowed(parts: list[ObjectModel]) -> None:
    """Silhouettes within a pixel, as the tolerance is half of one, and with many fewer faces."""
    ladders, T_cam_obj, ids = DetailLadders(parts), at(*np.linspace(0.25, 0.6, 12)), np.ones(12, int)
    chosen = ladders.mesh_ids(ids, T_cam_obj, INTRINSICS)
    renderer = Renderer(ladders.meshes)
    drawn, full = (renderer.crops(which, T_cam_obj, INTRINSICS, SIZE, SIZE) for which in (chosen, ladders.first[ids]))
    assert max(len(ladders.meshes[i].faces) for i in chosen) < len(parts[1].mesh.faces) / 2
    rim = np.pad(full.mask, ((0, 0), (1, 1), (1, 1)), mode="edge")
    near = [rim[:, 1 + i : SIZE + 1 + i, 1 + j : SIZE + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert not (drawn.mask & ~np.any(near, axis=0)).any() and not (np.all(near, axis=0) & ~drawn.mask).any()


def test_no_parts() -> None:
    assert DetailLadders([]).mesh_ids(np.zeros(0, int), np.zeros((0, 4, 4)), INTRINSICS).shape == (0,)
