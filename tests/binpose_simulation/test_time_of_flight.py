import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_simulation.sensor_input import SensorInput
from binpose_simulation.time_of_flight import CELL_PX, TimeOfFlight, multipath

CAMERA = Camera(200, 200, 79.5, 59.5, 160, 120)
SHAPE = (CAMERA.height, CAMERA.width)
INSIDE = np.s_[5:-5, 5:-5]


def wall(depth_m=0.5, **light):
    normals = np.zeros((*SHAPE, 3), np.float32)
    normals[..., 2] = -1
    return SensorInput(np.full(SHAPE, depth_m, np.float32), normals, CAMERA, **light)


def step():
    scene = wall(0.5)
    scene.depth_m[:, 80:] = 0.6
    return scene


def corner(sign):
    """Two planes at a right angle that meet in the image's middle column: a concave (1) or convex (-1) edge."""
    x = (np.arange(CAMERA.width) - CAMERA.cx) / CAMERA.fx
    depth = np.broadcast_to(0.5 / (1 + sign * np.abs(x)), SHAPE).astype(np.float32)
    normals = np.zeros((*SHAPE, 3), np.float32)
    normals[..., 0], normals[..., 2] = -sign * np.sign(x) * np.sqrt(0.5), -np.sqrt(0.5)
    return SensorInput(depth, normals, CAMERA)


def apply(scene, seed=0, **settings):
    return TimeOfFlight(**settings).apply(np.random.default_rng(seed), scene)


@pytest.mark.parametrize("footprint", [0.0, 0.3, 1.0])
def test_noise_has_the_stated_size_whatever_the_footprint(footprint):
    error = apply(wall(1.0), noise_m=0.001, footprint=footprint)[INSIDE] - 1.0
    assert error.std() == pytest.approx(0.001, rel=0.06)


def test_noise_grows_with_distance_and_with_less_light():
    def noise(distance_m, **light):
        return (apply(wall(distance_m, **light), noise_per_m=0.002)[INSIDE] - distance_m).std()

    assert noise(1.2) / noise(0.6) == pytest.approx(4.0, rel=0.05)
    signal = np.full(SHAPE, 0.25, np.float32)
    reference = np.zeros(SHAPE, bool)
    signal[:, :20], reference[:, :20] = 1.0, True
    error = apply(wall(signal=signal, reference=reference), noise_m=0.001)[:, 30:] - 0.5
    assert error.std() == pytest.approx(0.002, rel=0.06)


def test_pixels_that_see_front_and_back_lie_between_them():
    result = apply(step(), footprint=0.5)
    assert ((result[:, 79:81] > 0.51) & (result[:, 79:81] < 0.59)).all()
    np.testing.assert_allclose(result[:, 5:78], 0.5, atol=1e-5)
    np.testing.assert_allclose(result[:, 82:], 0.6, atol=1e-5)


def test_the_brighter_side_pulls():
    scene = step()
    signal = np.ones(SHAPE, np.float32)
    signal[:, 80:] = 0.1
    even = apply(scene, footprint=0.5)[60, 80]
    assert apply(SensorInput(scene.depth_m, scene.normals, CAMERA, signal), footprint=0.5)[60, 80] < even - 0.01


def test_recognised_flying_pixels_are_lost():
    result = apply(step(), footprint=0.5, edge_drop=1.0)
    assert (result[:, 79:81] == 0).all() and (result[:, :78] > 0).all() and (result[:, 82:] > 0).all()


def test_concave_corners_seem_farther_and_round_and_convex_ones_do_not():
    bias = apply(corner(1), bounce=0.5) - corner(1).depth_m
    assert bias.min() > -1e-5
    assert bias[60, 30:60].mean() > 0.005 and bias[60, 100:130].mean() > 0.005
    assert bias[60, 78:82].mean() < 0.2 * bias[60, 30:60].mean()
    assert np.abs(apply(corner(-1), bounce=0.5) - corner(-1).depth_m).max() < 1e-5


def test_a_wall_sends_no_light_to_itself():
    assert not multipath(wall().depth_m, wall().normals, CAMERA, 0.8).any()


def test_one_bounce_is_the_sum_over_pairs_of_patches():
    """The kernel against its formula, at one node."""
    scene = corner(1)
    grid = multipath(scene.depth_m, scene.normals, CAMERA, 0.4)
    rows = np.minimum(np.arange(SHAPE[0] // CELL_PX + 2) * CELL_PX, SHAPE[0] - 1)
    columns = np.minimum(np.arange(SHAPE[1] // CELL_PX + 2) * CELL_PX, SHAPE[1] - 1)
    v, u = np.meshgrid(rows, columns, indexing="ij")
    z = scene.depth_m[v, u].astype(float)
    p = np.stack([(u - CAMERA.cx) / CAMERA.fx * z, (v - CAMERA.cy) / CAMERA.fy * z, z], -1)
    n, reach = scene.normals[v, u].astype(float), np.linalg.norm(p, axis=-1)
    area = (z * CELL_PX / CAMERA.fx) ** 2 / np.maximum(-(p * n).sum(-1) / reach, 0.1)
    i, j = 4, 4
    d = p - p[i, j]
    here, there = np.maximum(d @ n[i, j], 0), np.maximum(-(d * n).sum(-1), 0)
    squared = np.maximum((d**2).sum(-1), area)
    weight = 0.4 * here * there * area / (np.pi * squared**2)
    near = (abs(np.arange(len(rows)) - i) <= 8)[:, None] & (abs(np.arange(len(columns)) - j) <= 8)
    weight *= near
    detour = (weight * 0.5 * (reach + np.sqrt(squared) - reach[i, j])).sum() / (1 + weight.sum())
    assert grid[i, j] == pytest.approx(detour, rel=1e-4)


def test_distances_wiggle_with_the_stated_size_and_period():
    errors = [apply(wall(z), wiggle_m=0.002, wiggle_period_m=0.4)[60, 80] - z for z in np.linspace(0.4, 1.2, 41)]
    assert max(errors) == pytest.approx(0.002, rel=0.02) and min(errors) == pytest.approx(-0.002, rel=0.02)
    np.testing.assert_allclose(errors[:20], errors[20:40], atol=1e-5)


def test_offset_scale_and_steps():
    assert apply(wall(), offset_m=0.003, scale=1.01)[60, 80] == pytest.approx(0.508, abs=1e-5)
    result = apply(wall(), noise_m=0.002, quantum_m=0.001)
    np.testing.assert_allclose(result, np.round(result / 0.001) * 0.001, atol=1e-6)


def test_nonsense_is_refused():
    with pytest.raises(BinposeError, match="bounce"):
        TimeOfFlight(bounce=1.5)
    with pytest.raises(BinposeError, match="wiggle_period_m"):
        TimeOfFlight(wiggle_period_m=0.0)
