import numpy as np
import pytest

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_refinement.observation import depth_noise_m, observe

from .conftest import CAMERA


def plane(normal, distance_m=0.7):
    """Depth of the plane through (0, 0, distance) with that normal."""
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    rays = np.stack([(u - 319.5) / 600, (v - 239.5) / 600, np.ones(u.shape)], -1)
    return (distance_m * normal[2] / (rays @ normal)).astype(np.float32)


def everywhere(score=0.9, box=(0, 0, 640, 480)):
    x0, y0, x1, y1 = box
    return Detection("cleat", score, box, np.ones((y1 - y0, x1 - x0), bool), (0.0, 0.0))


def frame(depth):
    return RgbdFrame(np.zeros((480, 640), np.uint8), depth, CAMERA)


def test_normals_of_a_tilted_plane_to_the_image_border():
    normal = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    seen = observe(frame(plane(normal)), [everywhere()], 2e-4)
    assert (seen.normals @ normal).min() > np.cos(np.deg2rad(1.0))


def test_normals_do_not_reach_across_a_step():
    depth = np.full((480, 640), 0.7, np.float32)
    depth[:, 320:] = 0.6
    seen = observe(frame(depth), [everywhere()], 2e-4)
    assert (seen.normals[:, 300:340, 2] < -0.99).all()


@pytest.mark.parametrize("sigma_m", [0.0003, 0.001, 0.003])
def test_the_noise_is_estimated_on_tilted_surfaces(sigma_m):
    depth = plane(np.array([0.0, -0.6, -0.8])) + np.random.default_rng(0).normal(0, sigma_m, (480, 640))
    assert depth_noise_m(depth.astype(np.float32)) == pytest.approx(sigma_m, rel=0.05)
    assert depth_noise_m(np.zeros((480, 640), np.float32)) == 0.0


def test_the_better_detection_owns_the_shared_pixels_and_boxes_may_leave_the_image():
    first, second = everywhere(0.5, (-20, -10, 60, 50)), everywhere(0.8, (40, 30, 100, 90))
    seen = observe(frame(np.full((480, 640), 0.7, np.float32)), [first, second], 2e-4)
    assert seen.labels[40, 50] == 1 and seen.labels[0, 0] == 0 and seen.labels[200, 200] == -1
    assert seen.mask_px.tolist() == [60 * 50 - 20 * 20, 3600]


def test_without_depth_everything_is_unknown():
    seen = observe(frame(None), [everywhere()], 2e-4)
    assert not seen.has_depth and not seen.depth_m.any() and not seen.normals.any()


@pytest.mark.parametrize("box", [(0, 500, 40, 540), (700, 0, 740, 40), (-60, 10, -20, 50), (10, -60, 50, -20)])
def test_a_detection_outside_of_the_image_covers_nothing(box):
    detection = Detection("a", 0.9, box, np.ones((40, 40), bool), (0.0, 0.0))
    assert (observe(frame(np.ones((480, 640), np.float32)), [detection], 1e-4).labels == -1).all()
