from dataclasses import replace

import cv2
import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import inverse
from binpose_simulation import materials as mat
from binpose_simulation.path_traced.backend import use_variant
from binpose_simulation.path_traced.config import RoomConfig, StereoConfig
from binpose_simulation.path_traced.stereo import aligned_depth, matched_depth, stereo_camera, stereo_depth
from binpose_simulation.viewpoint import look_at

CONFIG = StereoConfig(samples=4, speckle_px=10)
COLOR = Camera(130.0, 130.0, 63.5, 47.5, 128, 96)


def dots(rng, shape):
    image = (rng.random(shape) < 0.2).astype(np.float32) * 180
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + 20, 0, 255)


@pytest.mark.parametrize("disparity", [12.0, 20.5])
def test_matching_returns_the_depth_of_a_shifted_image(disparity):
    wide = dots(np.random.default_rng(0), (96, 200))
    shift = np.array([[1.0, 0.0, -disparity], [0.0, 1.0, 0.0]])
    left, right = wide, cv2.warpAffine(wide, shift, (200, 96), flags=cv2.INTER_LINEAR)
    depth_m = matched_depth(left.astype(np.uint8), right.astype(np.uint8), 10.0, (0.35, 1.2), CONFIG)
    inner = depth_m[10:-10, 40:-40]
    assert (inner > 0).mean() > 0.95
    # the matcher's steps are 1/16 px, and half pixels are the worst for its interpolation
    assert np.median(np.abs(10.0 / inner[inner > 0] - disparity)) < 0.2


def test_an_image_without_texture_has_no_depth():
    flat = np.full((96, 200), 90, np.uint8)
    assert not matched_depth(flat, flat, 10.0, (0.35, 1.2), CONFIG).any()


def test_alignment_shifts_by_the_disparity_of_the_offset_and_the_nearest_wins():
    camera = Camera(100.0, 100.0, 49.5, 39.5, 100, 80)
    far, near, offset_m = 1.0, 0.5, 0.02
    depth_m = np.full((80, 100), far, np.float32)
    depth_m[30:50, 40:60] = near
    aligned = aligned_depth(depth_m, camera, camera, offset_m)
    np.testing.assert_array_equal(aligned[40, 36:55], np.float32(near))  # moved by 100 * 0.02 / 0.5 = 4 px
    assert aligned[40, 30] == np.float32(far)
    # what is behind the near square's right edge was hidden from the other camera
    assert aligned[40, 57] == 0.0
    same = aligned_depth(depth_m, camera, camera, 0.0)
    np.testing.assert_array_equal(same, depth_m)


def flat_scene(row):
    """A square of 0.3 m with a material, in the plane z = 0, before a black background."""
    pytest.importorskip("mitsuba", reason="needs the extra: pip install 'binpose[path_traced]'")
    use_variant("scalar_rgb")
    from binpose_simulation.path_traced.backend import mitsuba
    from binpose_simulation.path_traced.room import random_room
    from binpose_simulation.path_traced.surfaces import principled
    from binpose_simulation.path_traced.traced_scene import TracedScene

    mi = mitsuba()
    size = mi.ScalarTransform4f().scale([0.3, 0.3, 1.0])
    surface = principled(np.random.default_rng(0), row)
    square = mi.load_dict({"type": "rectangle", "to_world": size, "bsdf": surface})
    return TracedScene({"square": square}, random_room(np.random.default_rng(1), RoomConfig(), np.zeros(3)))


def material(metallic, roughness):
    row = np.zeros(mat.COLUMNS, np.float32)
    row[[mat.RED, mat.GREEN, mat.BLUE]] = 0.7
    row[[mat.METALLIC, mat.ROUGHNESS, mat.F0]] = metallic, roughness, 0.04
    return row


def measured(row, tilt_rad=0.3):
    """Depth of the square, and its true depth."""
    position = 0.5 * np.array([np.sin(tilt_rad), 0.0, np.cos(tilt_rad)])
    T_world_cam = look_at(position, np.zeros(3))
    rng = np.random.default_rng
    device = stereo_camera(COLOR, T_world_cam, CONFIG)
    depth_m = stereo_depth(flat_scene(row), device, COLOR, (0.35, 0.8), CONFIG, rng(2), rng(3))
    T_cam_world = inverse(T_world_cam)
    rays = COLOR.backproject(np.ones((COLOR.height, COLOR.width), np.float32))
    normal, point = T_cam_world[:3, 2], T_cam_world[:3, 3]
    true_m = (normal @ point) / (rays @ normal)
    return depth_m[:, 24:], true_m[:, 24:]


def test_depth_of_a_diffuse_plane_is_within_the_error_of_the_matching():
    depth_m, true_m = measured(material(0.0, 0.9))
    valid = depth_m > 0
    assert valid.mean() > 0.9
    focal_baseline = COLOR.fx / CONFIG.wider * CONFIG.baseline_m
    error_px = focal_baseline / depth_m[valid] - focal_baseline / true_m[valid]
    assert abs(np.mean(error_px)) < 0.15
    assert np.median(np.abs(error_px)) < 0.3
    assert np.quantile(np.abs(error_px), 0.95) < 1.0


def test_a_mirror_has_less_right_depth_than_a_diffuse_surface():
    def right_fraction(row):
        depth_m, true_m = measured(row)
        return float((np.abs(depth_m - true_m) < 0.02 * true_m).mean())

    assert right_fraction(material(1.0, 0.06)) < 0.5 * right_fraction(material(0.0, 0.9))


def test_images_depend_on_the_seed_alone():
    first, second = (measured(material(0.0, 0.9))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_window_is_odd():
    from binpose_core.base.errors import BinposeError

    with pytest.raises(BinposeError, match="window_px must be odd, got 6"):
        replace(CONFIG, window_px=6)
