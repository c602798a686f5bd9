"""Bodies start apart from each other, over the floor, within the walls."""

import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import transform
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.bins import BinSpec
from binpose_simulation.placement import BodyType, bundled, laid, poured

SPEC = BinSpec(0.3, 0.2, 0.12)


def body(solid, shift=(0.0, 0.0, 0.0)):
    return BodyType.of([Mesh(np.float32(solid.vertices + shift), np.int32(solid.faces))])


@pytest.fixture
def bodies():
    rod, block = trimesh.creation.cylinder(0.004, 0.06), trimesh.creation.box((0.04, 0.03, 0.01))
    kinds = [body(rod), body(block, (0.1, 0.0, -0.05))]  # the second far from its origin
    return [kinds[k % 2] for k in range(14)]


def clouds_of(bodies, poses):
    return [transform(pose, b.points) for b, pose in zip(bodies, poses, strict=True)]


def apart(first, second):
    """Whether a plane along one of many directions separates two convex clouds."""
    directions = np.random.default_rng(0).normal(size=(2000, 3))
    axes = np.concatenate([np.eye(3), first[1:] - first[:1], second[1:] - second[:1], directions])
    p, q = first @ axes.T, second @ axes.T
    return bool(np.any((p.min(0) > q.max(0)) | (q.min(0) > p.max(0))))


@pytest.mark.parametrize("arrange", [poured, bundled, laid])
def test_bodies_start_apart_over_the_floor_and_within_the_walls(arrange, bodies, rng):
    for _ in range(3):
        clouds = clouds_of(bodies, arrange(bodies, SPEC, rng))
        assert all(apart(a, b) for i, a in enumerate(clouds) for b in clouds[:i])
        points = np.concatenate(clouds)
        low, high = SPEC.inner_bounds(0.5 * SPEC.height_m)
        assert points[:, 2].min() > 0.0
        assert np.all(points[:, :2] > low) and np.all(points[:, :2] < high)


def test_rows_are_parallel_and_flat(bodies, rng):
    poses = laid(bodies, SPEC, rng)
    rods = poses[::2, :3, 2]  # the rod's own axis
    assert np.abs(rods @ rods[0]).min() > 0.97
    assert np.abs(rods[:, 2]).max() < 1e-9


def test_a_handful_is_parallel_while_handfuls_differ(bodies, rng):
    rods = [b for b in bodies if b is bodies[0]]
    poses = bundled(rods, SPEC, rng)
    cosine = np.abs(poses[:, :3, 2] @ poses[:, :3, 2].T)
    assert np.sort(cosine, axis=1)[:, -2].min() > 0.95, "every rod has a parallel neighbour"
    assert np.abs(poses[:, 2, 2]).max() < 1e-9, "all lie"


def test_poured_bodies_point_everywhere(rng):
    rod = body(trimesh.creation.cylinder(0.004, 0.06))
    axes = np.concatenate([poured([rod] * 20, SPEC, rng)[:, :3, 2] for _ in range(10)])
    np.testing.assert_allclose(axes.T @ axes / len(axes), np.eye(3) / 3.0, atol=0.12)
