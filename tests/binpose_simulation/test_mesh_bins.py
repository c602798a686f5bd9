"""A bin's mesh is understood whichever way it stands in its file."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import exp_so3, transform
from binpose_core.meshes.mesh import Mesh
from binpose_simulation import mesh_bins
from binpose_simulation.bins import BinSpec, make_bin_mesh
from binpose_simulation.mesh_bins import bin_from_mesh

SPEC = BinSpec(0.28, 0.2, 0.1, front_slope_rad=0.6, front_height_m=0.05, rim_m=0.006)


@pytest.fixture(autouse=True)
def no_decomposition(monkeypatch):
    """The convex pieces take seconds and are tested elsewhere."""
    monkeypatch.setattr(mesh_bins, "convex_pieces", lambda mesh, *_, **__: [mesh])


@pytest.mark.parametrize("turn", [(0, 0, 0), (np.pi / 2, 0, 0), (0, -np.pi / 2, 0), (np.pi, 0, 0), (0, 0, np.pi / 2)])
def test_any_upright_position_gives_the_same_bin(turn):
    mesh = make_bin_mesh(SPEC)
    moved = (mesh.vertices @ exp_so3(np.array(turn)).T + [0.3, -0.2, 0.1]).astype(np.float32)
    found = bin_from_mesh(Mesh(moved, mesh.faces))
    np.testing.assert_allclose(found.mesh.vertices, mesh.vertices, atol=0.002)
    np.testing.assert_allclose(transform(found.T_world_mesh, moved), found.mesh.vertices, atol=1e-5)
    for name, tolerance in {"length_m": 0.004, "width_m": 0.004, "height_m": 0.001, "front_height_m": 0.001}.items():
        assert getattr(found.spec, name) == pytest.approx(getattr(SPEC, name), abs=tolerance)
    assert found.spec.front_slope_rad == pytest.approx(SPEC.front_slope_rad, abs=0.05)


def test_a_plate_is_no_bin():
    plate = trimesh.creation.box((0.3, 0.2, 0.004))
    mesh = Mesh(np.float32(plate.vertices), np.int32(plate.faces))
    with pytest.raises(BinposeError, match="no bin"):
        bin_from_mesh(mesh, opening=[0, 0, 1])


def test_the_recorded_storage_bin_is_understood(shared_data):
    loaded = trimesh.load(shared_data / "wrs_bins" / "models" / "obj_000004.ply")
    found = bin_from_mesh(Mesh(np.float32(loaded.vertices * 1e-3), np.int32(loaded.faces)))
    assert found.spec.length_m == pytest.approx(0.150, abs=0.005)
    assert found.spec.width_m == pytest.approx(0.089, abs=0.005)
    assert found.spec.front_height_m < 0.6 * found.spec.height_m
