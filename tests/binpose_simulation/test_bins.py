"""Bins are closed solids whose inside is where the spec says."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import is_watertight
from binpose_core.rendering.renderer import Renderer
from binpose_simulation.bins import BinSpec, bin_walls, make_bin_mesh, random_bin

STORAGE = BinSpec(front_slope_rad=0.7, front_height_m=0.06)


def heights_at(mesh, points_xy):
    """Height of the surface seen from above at points (N, 2), NaN where there is none."""
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0])
    found = []
    for x, y in points_xy:
        pose[:3, 3] = -pose[:3, :3] @ [x, y, 2.0]
        intrinsics = np.array([[1e4, 1e4, 0.0, 0.0]])
        depth = Renderer([mesh]).crops(np.array([0]), pose[None].copy(), intrinsics, 1, 1).depth_m[0, 0, 0]
        found.append(2.0 - depth if depth > 0.0 else np.nan)
    return np.array(found)


@pytest.mark.parametrize(
    "spec", [BinSpec(), STORAGE, BinSpec(rim_m=0.0, corner_m=0.0, taper_rad=0.0, front_slope_rad=0.0)]
)
def test_a_bin_is_closed_and_faces_look_outwards(spec):
    mesh = make_bin_mesh(spec)
    assert mesh.watertight
    volume = np.linalg.det(mesh.vertices.astype(np.float64)[mesh.faces]).sum() / 6.0
    thin = spec.wall_m * (spec.length_m * spec.width_m + 2 * spec.height_m * (spec.length_m + spec.width_m))
    assert 0.5 * thin < volume < 2.0 * thin


def test_random_bins_are_closed_and_hold_the_largest_part(rng):
    for _ in range(40):
        diameters = rng.uniform(0.02, 0.12, 5)
        spec = random_bin(rng, diameters, int(rng.integers(1, 25)))
        assert is_watertight(make_bin_mesh(spec).faces)
        assert min(spec.length_m, spec.width_m) > diameters.max()


@pytest.mark.parametrize("diameter_m", [0.005, 0.008, 0.012, 0.05, 0.3, 0.8, 1.0])
def test_parts_of_every_size_get_a_bin_that_they_fit_in(rng, diameter_m):
    for _ in range(60):
        spec = random_bin(rng, diameter_m * rng.uniform(0.6, 1.0, 3), int(rng.integers(8, 37)))
        assert min(spec.length_m, spec.width_m) > 0.6 * diameter_m
        assert spec.height_m < 5 * diameter_m, "a well, at the bottom of which nothing is seen"
        assert spec.height_m > 0.3 * diameter_m, "a tray, over the rim of which parts fall"


def test_more_parts_get_a_larger_bin(rng):
    few = np.mean([np.prod(_floor(random_bin(rng, [0.06], 10))) for _ in range(50)])
    many = np.mean([np.prod(_floor(random_bin(rng, [0.06], 40))) for _ in range(50)])
    assert 2.5 * few < many < 5.0 * few


def _floor(spec):
    return spec.length_m, spec.width_m


def test_the_floor_is_at_zero_and_the_rim_at_its_height():
    mesh = make_bin_mesh(STORAGE)
    assert mesh.vertices[:, 2].min() == pytest.approx(-STORAGE.wall_m)
    assert mesh.vertices[:, 2].max() == pytest.approx(STORAGE.height_m)
    np.testing.assert_allclose(heights_at(mesh, [(0.0, 0.0), (0.1, 0.05), (-0.14, -0.09)]), 0.0, atol=1e-4)


def test_walls_and_mesh_agree():
    mesh = make_bin_mesh(STORAGE)
    for wall in bin_walls(STORAGE):
        outward = wall.normal[:2] / -np.linalg.norm(wall.normal[:2])
        lean = wall.normal[2] / np.linalg.norm(wall.normal[:2])  # run per height
        height = 0.6 * wall.top_m
        point = wall.point[:2] + outward * height * lean
        found = heights_at(mesh, [point + 1e-4 * outward])
        np.testing.assert_allclose(found, height + 1e-4 / lean, atol=2e-4)
        low, high = STORAGE.inner_bounds(height)
        assert np.isclose(point @ outward, max(high @ outward, low @ outward), atol=1e-9)


def test_the_front_is_lower():
    mesh = make_bin_mesh(STORAGE)
    front = mesh.vertices[mesh.vertices[:, 0] > STORAGE.inner_bounds(STORAGE.front_top_m)[1][0]]
    assert front[:, 2].max() == pytest.approx(STORAGE.front_height_m, abs=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"length_m": 0.0}, {"wall_m": -1.0}, {"taper_rad": 1.6}, {"front_height_m": 0.2}, {"width_m": 200.0}]
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(BinposeError, match=next(iter(wrong))):
        BinSpec(**wrong)


def test_a_bin_for_nothing_is_refused(rng):
    with pytest.raises(BinposeError, match="positive diameters"):
        random_bin(rng, [], 3)
