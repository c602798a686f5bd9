"""Settled piles obey the laws: nothing in the floor, nothing in each other, nothing moving, the same for a seed."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import transform
from binpose_core.meshes.mesh import Mesh
from binpose_simulation import physics
from binpose_simulation.bins import BinSpec, bin_walls
from binpose_simulation.mesh_bins import MeshBin
from binpose_simulation.physics import PhysicsConfig, settle
from binpose_simulation.world import UnstableError

SPEC = BinSpec(0.2, 0.15, 0.1)
POURED = PhysicsConfig(laid_fraction=0.0, bundled_fraction=0.0)
BUNDLED = PhysicsConfig(laid_fraction=0.0, bundled_fraction=1.0)
LAID = PhysicsConfig(laid_fraction=1.0, bundled_fraction=0.0)


def as_mesh(solid, shift=(0.0, 0.0, 0.0)):
    return Mesh(np.float32(solid.vertices + shift), np.int32(solid.faces))


@pytest.fixture(scope="module")
def kinds():
    """A rod, a block whose origin lies outside it, and a hammer of two pieces."""
    rod = [as_mesh(trimesh.creation.cylinder(0.004, 0.06, sections=24))]
    block = [as_mesh(trimesh.creation.box((0.04, 0.03, 0.012)), (0.03, 0.0, 0.0))]
    head = as_mesh(trimesh.creation.box((0.03, 0.012, 0.012)), (0.0, 0.0, 0.03))
    handle = as_mesh(trimesh.creation.cylinder(0.004, 0.05, sections=16))
    return [rod, block, [head, handle]]


def lowest(bodies, poses):
    return [min(transform(T, piece.vertices)[:, 2].min() for piece in b) for b, T in zip(bodies, poses, strict=True)]


@pytest.mark.parametrize("config", [POURED, BUNDLED, LAID], ids=["poured", "bundled", "laid"])
def test_a_pile_rests_on_the_floor_within_the_walls(kinds, config):
    bodies = [kinds[k % 3] for k in range(12)]
    pile = settle(bodies, SPEC, np.random.default_rng(5), config)
    assert pile.settled and pile.kept.sum() >= 11
    kept = np.flatnonzero(pile.kept)
    assert pile.penetration_m[kept].max() < 0.001
    bodies, poses = [bodies[i] for i in kept], pile.T_world_obj[kept]
    assert min(lowest(bodies, poses)) > -0.001
    for body, pose in zip(bodies, poses, strict=True):
        points = np.concatenate([transform(pose, piece.vertices) for piece in body])
        for wall in bin_walls(SPEC):
            behind = (points - wall.point) @ wall.normal
            assert behind[points[:, 2] < wall.top_m - 0.002].min(initial=0.0) > -0.001
    rotation = poses[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(1, 2), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-9
    )


def test_a_single_block_lies_flat_on_the_floor(kinds):
    pile = settle([kinds[1]], SPEC, np.random.default_rng(0), POURED)
    assert pile.settled
    assert lowest([kinds[1]], pile.T_world_obj)[0] == pytest.approx(0.0, abs=2e-4)
    assert np.abs(pile.T_world_obj[0, 2, :3]).max() > 0.999, "one of its axes is vertical"


def test_a_seed_fixes_the_pile_and_seeds_differ(kinds):
    bodies = [kinds[k % 3] for k in range(6)]
    first, again, other = (settle(bodies, SPEC, np.random.default_rng(seed), POURED) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.T_world_obj, again.T_world_obj)
    assert np.abs(first.T_world_obj - other.T_world_obj).max() > 0.01


def test_put_down_by_the_handful_pins_stay_parallel_more_often_than_poured(kinds):
    def share(config):
        axes = [settle([kinds[0]] * 12, SPEC, np.random.default_rng(seed), config).T_world_obj for seed in range(4)]
        return np.mean([_has_parallel_neighbour(poses) for poses in axes])

    assert share(BUNDLED) > 1.5 * share(POURED)


def _has_parallel_neighbour(poses):
    near = np.linalg.norm(poses[:, None, :3, 3] - poses[:, :3, 3], axis=-1) < 0.02
    parallel = np.abs(poses[:, :3, 2] @ poses[:, :3, 2].T) > np.cos(np.radians(12.0))
    return (near & parallel & ~np.eye(len(poses), dtype=bool)).any(1).mean()


def test_what_falls_out_is_not_kept(kinds):
    saucer = BinSpec(0.08, 0.07, 0.006)
    pile = settle([kinds[1]] * 14, saucer, np.random.default_rng(0), POURED)
    assert 0 < pile.kept.sum() < 14
    outside = np.any(np.abs(pile.T_world_obj[:, :2, 3]) > 0.15, axis=1)
    assert not np.any(pile.kept & outside)


def test_parts_rest_on_the_pieces_of_a_bin_mesh(kinds):
    step = as_mesh(trimesh.creation.box((0.3, 0.3, 0.02)), (0.0, 0.0, 0.01))  # fills the bin 20 mm high
    pile = settle([kinds[1]] * 3, MeshBin(step, (step,), SPEC, np.eye(4)), np.random.default_rng(0), POURED)
    assert min(lowest([kinds[1]] * 3, pile.T_world_obj)) > 0.019


def test_an_unstable_pile_is_made_again_with_a_finer_step(kinds, monkeypatch):
    steps = []

    class Shaky(physics.World):
        def run(self, *args):
            steps.append(self._config.timestep_s)
            if len(steps) < 3:
                raise UnstableError("shaky")
            return super().run(*args)

    monkeypatch.setattr(physics, "World", Shaky)
    assert settle(kinds, SPEC, np.random.default_rng(0), POURED).kept.all()
    assert steps == pytest.approx([0.002, 0.001, 0.0005])


def test_nonsense_is_refused(kinds, rng):
    with pytest.raises(BinposeError, match="0 bodies"):
        settle([], SPEC, rng)
    with pytest.raises(BinposeError, match="at least one convex piece"):
        settle([kinds[0], []], SPEC, rng)
    with pytest.raises(BinposeError, match="sum to at most 1"):
        PhysicsConfig(laid_fraction=0.7, bundled_fraction=0.6)
    with pytest.raises(BinposeError, match="friction"):
        PhysicsConfig(friction=(0.5, 0.2))
