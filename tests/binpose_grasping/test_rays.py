import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_grasping import rays
from binpose_grasping.rays import exits


def as_mesh(mesh: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))


def test_from_the_middle_of_a_ball_every_ray_leaves_once_at_the_surface(rng: np.random.Generator) -> None:
    ball = as_mesh(trimesh.creation.icosphere(4, 0.03))
    directions = random_rotation(rng, (200,))[:, 0]
    found = exits(ball, np.zeros((200, 3)), directions, 0.0)
    assert found.ray.tolist() == list(range(200))
    np.testing.assert_allclose(found.distance_m, 0.03, rtol=4e-3)
    assert ((ball.face_normals[found.face] * directions[found.ray]).sum(-1) > 0.9).all()


def test_a_ray_through_a_tube_leaves_twice_and_what_is_near_is_left_out() -> None:
    tube = as_mesh(trimesh.creation.annulus(0.02, 0.03, 0.05, sections=64))
    origin, direction = np.array([[-0.03, 0.0007, 0.0]]), np.array([[1.0, 0, 0]])
    found = exits(tube, origin, direction, 0.0)
    np.testing.assert_allclose(np.sort(found.distance_m), [0.01, 0.06], atol=1e-4)
    assert exits(tube, origin, direction, 0.02).distance_m.round(4).tolist() == [0.06]
    assert len(exits(tube, origin, -direction, 0.0).ray) == 0


def test_the_blocks_of_rays_do_not_show(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    ball = as_mesh(trimesh.creation.icosphere(2, 0.03))
    origins, directions = rng.uniform(-0.01, 0.01, (50, 3)), random_rotation(rng, (50,))[:, 0]
    whole = exits(ball, origins, directions, 0.0)
    monkeypatch.setattr(rays, "PAIRS_AT_ONCE", 3 * len(ball.faces))
    for part, same in zip(exits(ball, origins, directions, 0.0), whole, strict=True):
        np.testing.assert_array_equal(part, same)
