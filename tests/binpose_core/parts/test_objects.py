"""Parts carry what is derived from their meshes, and travel as arrays."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel, make_object, objects_from_tensors, objects_to_tensors
from binpose_core.parts.symmetries import Symmetries


def mesh_of(part: trimesh.Trimesh) -> Mesh:
    return Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))


@pytest.fixture(scope="module")
def ball() -> ObjectModel:
    """A fine mesh with a boss, its symmetries given."""
    part = trimesh.creation.icosphere(5, 0.02).apply_translation([0.1, 0, 0])
    return make_object(mesh_of(part), "ball", 3, Symmetries.none())


def test_derived_quantities(ball):
    """Diameter, centre, samples on the surface, descending levels."""
    assert ball.diameter_m == pytest.approx(0.04, rel=1e-3) and ball.watertight
    assert np.allclose(ball.center_m, [0.1, 0, 0], atol=1e-6)
    assert np.allclose(np.linalg.norm(ball.points - ball.center_m, axis=1), 0.02, rtol=2e-3)
    assert ball.points.dtype == ball.normals.dtype == np.float32
    counts = [len(ball.mesh.faces), *(len(lod.faces) for lod in ball.lods)]
    assert counts == sorted(counts, reverse=True) and len(ball.lod_errors_m) == len(ball.lods) == 3


def test_lod_gives_the_finest_that_is_allowed(ball):
    """About as many faces as asked for, everything when there is room, the coarsest when there is none."""
    assert len(ball.lod(1000).faces) <= 1500
    assert len(ball.lod(1000).faces) > len(ball.lod(300).faces)
    assert ball.lod(10**6) is ball.mesh and ball.lod(1) is ball.lods[-1]


def test_objects_travel_as_arrays(ball):
    """Two parts to tensors and back, nothing lost."""
    box = make_object(mesh_of(trimesh.creation.box((0.06, 0.04, 0.02))), "box", 7)
    tensors, infos = objects_to_tensors([ball, box])
    assert tensors["ball/vertices"].shape == ball.mesh.vertices.shape and infos[1]["id"] == "box"
    for before, after in zip([ball, box], objects_from_tensors(tensors, infos), strict=True):
        assert (after.id, after.bop_id, after.diameter_m, after.watertight) == (
            before.id, before.bop_id, before.diameter_m, before.watertight,
        )  # fmt: skip
        for name in ("points", "normals", "center_m"):
            assert np.array_equal(getattr(after, name), getattr(before, name))
        assert all(np.array_equal(a.faces, b.faces) for a, b in zip(after.lods, before.lods, strict=True))
        assert np.allclose(after.symmetries.discrete, before.symmetries.discrete, atol=1e-15)
    with pytest.raises(BinposeError, match="stored part 'ball' is incomplete"):
        objects_from_tensors({k: v for k, v in tensors.items() if k != "ball/points"}, infos)


def test_making_a_part_is_repeatable():
    """The same mesh gives the same samples."""
    mesh = mesh_of(trimesh.creation.box((0.06, 0.04, 0.02)))
    first, second = (make_object(mesh, "box", 1, Symmetries.none()) for _ in range(2))
    assert np.array_equal(first.points, second.points)


def test_a_mesh_without_surface_is_refused():
    """Nothing can be derived from it."""
    with pytest.raises(BinposeError, match="has no surface"):
        make_object(Mesh(np.zeros((3, 3), np.float32), np.zeros((0, 3), np.int32)), "void", 1)
