from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import inverse, transform
from binpose_simulation import materials as mat
from binpose_simulation.appearance import AppearanceConfig
from binpose_simulation.bins import BinSpec, bin_sides
from binpose_simulation.gbuffer import Table, gbuffer
from binpose_simulation.lighting import LEVELS, Lamp
from binpose_simulation.lit_scene import EXTRA, LitScene
from binpose_simulation.mirrors import mirrored, pixels_on_plane, reflection
from binpose_simulation.scene import render_view
from binpose_simulation.viewpoint import look_at

CAMERA = Camera(500.0, 500.0, 200.0, 150.0, 400, 300)


@pytest.fixture(scope="module")
def glossy(pile):
    """The pile in even light, its parts white and not shiny."""
    number = len(pile.mesh_ids)
    rows = np.zeros((number + EXTRA, 2, mat.COLUMNS), np.float32)
    rows[..., :3], rows[..., mat.ROUGHNESS] = 0.9, 0.9
    rows[number - len(pile.bin_boxes) :, :, mat.ROUGHNESS] = 0.0
    environment = np.ones((LEVELS, 8, 8, 3), np.float32)
    lamp = Lamp(np.array([0.0, 0.0, 1.0]), np.zeros(3), 1.0)
    bodies = np.zeros((number + EXTRA, mat.BODY_COLUMNS), np.float32)
    return LitScene(pile, rows, bodies, [lamp], environment, np.ones((4, 4, 3), np.float32), 100.0)


def test_a_mirror_image_is_as_far_behind_the_wall():
    for side in bin_sides(BinSpec(front_slope_rad=0.5)):
        T = reflection(side)
        np.testing.assert_allclose(T @ T, np.eye(4), atol=1e-12)
        along = np.cross(side.normal, [0.3, 0.5, 0.7])
        points = np.array([side.point, side.point + along, side.point + 0.1 * side.normal])
        expected = np.array([side.point, side.point + along, side.point - 0.1 * side.normal])
        np.testing.assert_allclose(transform(T, points), expected, atol=1e-12)


def test_what_is_mirrored_is_what_the_reflected_ray_meets(pile, glossy, monkeypatch):
    monkeypatch.setattr("binpose_simulation.mirrors.MOST_MIRRORS", len(pile.bin_boxes) * len(pile.sides))
    low, high = pile.bin_boxes[0]
    middle = (low + high) / 2
    T_cam_world = inverse(look_at(middle + np.array([0.12, 0.05, 0.35]), middle))
    T_cam_obj = T_cam_world @ pile.T_world_obj
    table = Table(z_m=float(low[2]))
    rendering = pile.renderer.scene(pile.mesh_ids, T_cam_obj, CAMERA)
    surfaces = gbuffer(rendering, pile.smooth, pile.mesh_ids, T_cam_obj, CAMERA, T_cam_world, table)
    first_bin = len(pile.mesh_ids) - len(pile.bin_boxes)
    weights = (surfaces.surface_ids >= first_bin).astype(np.float32)
    light = mirrored(glossy, surfaces, weights, CAMERA, T_cam_world, table)

    rng = np.random.default_rng(0)
    checked = met = right = 0
    for v, u in rng.permutation(np.argwhere(surfaces.surface_ids == first_bin))[:1500]:
        point = transform(inverse(T_cam_obj[first_bin]), CAMERA.backproject(surfaces.depth_m)[v, u][None])[0]
        sides = [side for side in pile.sides if abs((point - side.point) @ side.normal) < 1e-4]
        around = light[max(v - 4, 0) : v + 5, max(u - 4, 0) : u + 5].max(-1) > 0.05
        if len(sides) != 1 or not (around.all() or not around.any()):
            continue  # an edge, where light is blurred
        eye = transform(inverse(T_cam_obj[first_bin]), np.zeros((1, 3)))[0]
        direction = reflection(sides[0])[:3, :3] @ (point - eye)
        hit = _meets_a_part(pile, first_bin, point, direction)
        checked, met, right = checked + 1, met + hit, right + (hit == around.all())
    assert checked > 300 and met > 30
    assert right / checked > 0.97


def _meets_a_part(pile, first_bin, point, direction):
    """Whether a ray in the first bin's frame goes through a triangle of a part in it (Moeller and Trumbore, 1997)."""
    low, high = pile.bin_boxes[0, :, :2]
    for body in range(first_bin):
        where = pile.T_world_obj[body, :2, 3]
        if not ((where > low) & (where < high)).all():
            continue
        mesh = pile.renderer.meshes[pile.mesh_ids[body]]
        T = inverse(pile.T_world_obj[first_bin]) @ pile.T_world_obj[body]
        a, b, c = transform(T, mesh.vertices.astype(np.float64))[mesh.faces].transpose(1, 0, 2)
        across = np.cross(direction, c - a)
        determinant = ((b - a) * across).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            s = ((point - a) * across).sum(-1) / determinant
            turned = np.cross(point - a, b - a)
            t, distance = (turned @ direction) / determinant, ((c - a) * turned).sum(-1) / determinant
        if ((s >= 0) & (t >= 0) & (s + t <= 1) & (distance > 0)).any():
            return True
    return False


def test_mirrors_change_nothing_but_the_look(pile, small):
    plain, changed = replace(small, appearance=AppearanceConfig(mirror=False)), 0
    for seed in range(6):  # not every bin is glossy
        with_mirrors, without = (render_view(pile, np.random.default_rng(seed), config) for config in (small, plain))
        changed += not np.array_equal(with_mirrors.frame.color, without.frame.color)
        np.testing.assert_array_equal(with_mirrors.instance_ids, without.instance_ids)
        np.testing.assert_array_equal(with_mirrors.depth_clean_m, without.depth_clean_m)
    assert changed >= 2


def test_pixels_on_a_plane_are_those_of_the_formula():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(40, 50, 3)).astype(np.float32) * 0.1
    candidates, point = rng.random((40, 50)) < 0.7, rng.normal(size=3) * 0.05
    normal = np.array([0.6, 0.0, 0.8])
    found = np.zeros((40, 50), bool)
    count = pixels_on_plane(points, candidates, point, normal, 0.03, found)
    expected = candidates & (np.abs((points - point) @ normal) < 0.03)
    np.testing.assert_array_equal(found, expected)
    assert 0 < count == expected.sum() < candidates.sum()
