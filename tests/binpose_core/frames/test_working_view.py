from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.working_view import (
    MAX_ENLARGEMENT,
    SIZE_MULTIPLE,
    make_working_view,
    resize_depth,
)

CAMERA = Camera(300.0, 290.0, 161.2, 117.9, 318, 242)
MANY = 10**7


def plane_depth(camera: Camera, normal: np.ndarray, distance_m: float) -> np.ndarray:
    """Depth (H, W) of the plane n . p = -distance_m."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)
    return (-distance_m / (rays @ normal)).astype(np.float32)


def frame_of(depth_m: np.ndarray | None, camera: Camera = CAMERA, mono: bool = False) -> RgbdFrame:
    rng = np.random.default_rng(0)
    shape = (camera.height, camera.width) if mono else (camera.height, camera.width, 3)
    return RgbdFrame(rng.integers(0, 256, shape, dtype=np.uint8), depth_m, camera)


def flat(depth_m: float, camera: Camera = CAMERA) -> np.ndarray:
    return np.full((camera.height, camera.width), depth_m, np.float32)


@pytest.mark.parametrize("gsd_m", [1e-3, 1.5e-3, 2.2e-3, 4e-3])
def test_a_pixel_covers_the_wanted_distance(gsd_m: float) -> None:
    view = make_working_view(frame_of(flat(0.6)), gsd_m, MANY)
    assert view.gsd_m == pytest.approx(max(gsd_m, 0.6 / CAMERA.fx / MAX_ENLARGEMENT), rel=0.08)
    assert view.gsd_m == pytest.approx(0.6 / view.camera.fx)


def test_a_size_that_is_about_right_is_kept() -> None:
    frame = frame_of(flat(0.6))
    view = make_working_view(frame, 0.6 / CAMERA.fx * 1.05, MANY)
    assert view.scale == (1, 1)
    np.testing.assert_array_equal(view.color[: CAMERA.height, : CAMERA.width], frame.color)


def test_large_views_are_made_coarser() -> None:
    view = make_working_view(frame_of(flat(0.6)), 1e-4, 160 * 120)
    assert view.scale[0] * view.scale[1] * CAMERA.width * CAMERA.height == pytest.approx(160 * 120, rel=0.02)


def test_without_depth_the_stated_distance_decides() -> None:
    with_depth = make_working_view(frame_of(flat(0.6)), 3e-3, MANY)
    assert make_working_view(replace(frame_of(None), distance_m=0.6), 3e-3, MANY).scale == with_depth.scale
    unscaled = make_working_view(frame_of(None), 3e-3, MANY)
    assert unscaled.scale == (1, 1) and not unscaled.depth_m.any() and not unscaled.normals.any()


@pytest.mark.parametrize("gsd_m", [1e-3, 2e-3, 3.3e-3])
def test_sides_are_padded_to_a_multiple(gsd_m: float) -> None:
    view = make_working_view(frame_of(flat(0.6), mono=True), gsd_m, MANY)
    height, width = view.depth_m.shape
    assert height % SIZE_MULTIPLE == width % SIZE_MULTIPLE == 0
    assert (view.camera.height, view.camera.width) == view.color.shape[:2] == view.normals.shape[:2] == (height, width)
    columns, rows = view.frame_indices()
    assert (np.diff(columns) >= 0).all() and (np.diff(rows) >= 0).all()
    inside = np.ix_(rows < CAMERA.height, columns < CAMERA.width)
    np.testing.assert_allclose(view.depth_m[inside], 0.6, rtol=1e-6)
    assert view.depth_m.sum() == pytest.approx(view.depth_m[inside].sum()) and view.is_mono


@pytest.mark.parametrize("gsd_m", [1e-3, 2e-3, 2.7e-3, 5e-3])
def test_both_cameras_see_a_point_at_the_same_place(gsd_m: float, rng: np.random.Generator) -> None:
    view = make_working_view(frame_of(flat(0.6)), gsd_m, MANY)
    points = rng.normal([0, 0, 0.6], 0.1, (100, 3))
    working_px, frame_px = view.camera.project(points), CAMERA.project(points)
    np.testing.assert_allclose(view.to_frame_px(working_px), frame_px, atol=1e-9)
    np.testing.assert_allclose(view.to_working_px(frame_px), working_px, atol=1e-9)


def test_frame_indices_are_the_nearest_pixels() -> None:
    view = make_working_view(frame_of(flat(0.6)), 2.7e-3, MANY)
    columns, rows = view.frame_indices()
    pixels = np.stack([np.arange(40), np.arange(40)], -1)
    there = view.to_frame_px(pixels)
    assert np.abs(there[:, 0] - columns[:40]).max() <= 0.5 and np.abs(there[:, 1] - rows[:40]).max() <= 0.5


def test_a_slanted_plane_keeps_its_normal_when_it_is_resampled() -> None:
    wanted = np.array([0.5, -0.3, -0.8]) / np.linalg.norm([0.5, -0.3, -0.8])
    view = make_working_view(frame_of(plane_depth(CAMERA, wanted, 0.5)), 5e-3, MANY)
    inner = view.normals[4:-40, 4:-40]
    assert np.median(inner @ wanted) > np.cos(np.deg2rad(2))


@pytest.mark.parametrize("scale", [0.3, 0.45, 0.5, 0.8, 1.3])
def test_edges_stay_edges_and_stay_where_they_are(scale: float) -> None:
    depth_m = flat(0.5)
    depth_m[:, 150:] = 0.6
    size = (round(CAMERA.width * scale), round(CAMERA.height * scale))
    small = resize_depth(depth_m, size)
    assert np.minimum(np.abs(small - 0.5), np.abs(small - 0.6)).max() < 1e-5
    edge = int((small[0] < 0.55).sum())
    assert abs(edge - 150 * size[0] / CAMERA.width) <= 0.5 + 1e-6


def test_noise_is_averaged_away_and_holes_are_not_surface(rng: np.random.Generator) -> None:
    depth_m = flat(0.5) + rng.normal(0, 5e-4, (CAMERA.height, CAMERA.width)).astype(np.float32)
    depth_m[50:90, 50:90] = 0
    small = resize_depth(depth_m, (CAMERA.width // 3, CAMERA.height // 3))
    assert not small[18:29, 18:29].any()
    assert np.std(small[small > 0]) < 0.5 * 5e-4
    assert np.abs(small[small > 0] - 0.5).max() < 3e-3


@pytest.mark.parametrize(("height", "wanted"), [(380, 495), (242, 363), (242, 315)])
def test_depth_is_that_of_the_pixel_whose_label_is_taken(height: int, wanted: int, rng: np.random.Generator) -> None:
    """Also where the middle of a pixel lies on the border of two, which OpenCV's releases decide differently."""
    camera = Camera(300.0, 300.0, 119.5, (height - 1) / 2, 240, height)
    frame = frame_of(rng.uniform(0.5, 0.7, (height, 240)).astype(np.float32), camera)
    depth_m = frame.depth_m
    assert depth_m is not None
    gsd_m = float(np.median(depth_m)) / camera.fx / (wanted / height)
    view = make_working_view(frame, gsd_m, MANY)
    assert round(height * view.scale[1]) == wanted
    columns, rows = view.frame_indices()
    inside = np.ix_(rows < height, columns < camera.width)
    np.testing.assert_array_equal(view.depth_m[inside], depth_m[np.ix_(rows[rows < height], columns[columns < 240])])
