"""The MuJoCo world: energy is lost until rest, guides vanish, and nothing is printed or written."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.bins import BinSpec
from binpose_simulation.placement import BodyType, poured
from binpose_simulation.world import Contact, UnstableError, World, WorldConfig

SPEC = BinSpec(0.2, 0.15, 0.1)


@pytest.fixture
def ball():
    solid = trimesh.creation.icosphere(1, 0.01)
    return BodyType.of([Mesh(np.float32(solid.vertices), np.int32(solid.faces))])


def world_of(bodies, **changes):
    return World(bodies, SPEC, Contact(0.5, 0.8), WorldConfig(**changes))


def test_no_motion_is_left_at_rest(ball, rng):
    world = world_of([ball] * 8)
    assert world.run(poured([ball] * 8, SPEC, rng), np.zeros((8, 6)))
    speed = np.abs(world._data.qvel.reshape(-1, 6)[:, :3]).max()
    kinetic, fallen = 0.5 * speed**2, 9.81 * SPEC.height_m
    assert kinetic < 1e-3 * fallen, "per unit of mass, against the energy of a fall from the rim"
    assert world.inside().all() and world.penetration_m().max() < 0.001


def test_a_fall_takes_as_long_as_galilei_says(ball):
    world = world_of([ball], max_time_s=0.2)
    T_world_obj = np.eye(4)[None].copy()
    T_world_obj[0, 2, 3] = 1.0
    assert not world.run(T_world_obj, np.zeros((1, 6)))
    assert world.poses()[0, 2, 3] == pytest.approx(1.0 - 0.5 * 9.81 * world.time_s**2, abs=0.005)


def test_the_guides_lead_in_and_then_vanish(ball):
    world = world_of([ball])
    T_world_obj = np.eye(4)[None].copy()
    T_world_obj[0, :3, 3] = [0.0, 0.0, 0.3]
    sideways = np.array([[1.0, 0.0, -1.0, 0.0, 0.0, 0.0]])  # would fly over the rim
    assert world.run(T_world_obj, sideways)
    assert world.inside().all()
    assert world._data.mocap_pos[:, 2].max() < -10.0


def test_a_diverging_simulation_is_told_and_leaves_no_trace(ball, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    T_world_obj = np.eye(4)[None].copy()
    T_world_obj[0, 2, 3] = 0.05
    with pytest.raises(UnstableError):
        world_of([ball]).run(T_world_obj, np.full((1, 6), 1e12))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_nonsense_is_refused():
    with pytest.raises(BinposeError, match="timestep_s must be at most"):
        WorldConfig(timestep_s=0.01)
    with pytest.raises(BinposeError, match="rest_motion_m must be positive"):
        WorldConfig(rest_motion_m=0.0)
