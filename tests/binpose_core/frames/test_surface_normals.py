import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.frames.surface_normals import DepthFit, InverseDepthFit, surface_normals

CAMERA = Camera(300.0, 290.0, 161.2, 117.9, 318, 242)
FITS = [InverseDepthFit(slope_m_per_px=0.004), DepthFit(5e-4, steepest=3.0)]


def plane_depth(camera: Camera, normal: np.ndarray, distance_m: float) -> np.ndarray:
    """Depth (H, W) of the plane n . p = -distance_m."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)
    return (-distance_m / (rays @ normal)).astype(np.float32)


def flat(depth_m: float, camera: Camera = CAMERA) -> np.ndarray:
    return np.full((camera.height, camera.width), depth_m, np.float32)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("normal", [(0, 0, -1), (0.3, -0.2, -0.9), (-0.7, 0.1, -0.6), (0.05, 0.8, -0.5)])
def test_normals_are_those_of_the_plane(normal: tuple[float, float, float], fit: InverseDepthFit | DepthFit) -> None:
    """Exactly from inverse depth, which is linear in the image; from depth within a degree."""
    wanted = np.array(normal) / np.linalg.norm(normal)
    camera = Camera(300.0, 300.0, 60.0, 50.0, 120, 100)
    normals = surface_normals(plane_depth(camera, wanted, 0.3), camera, fit)
    cosine = normals.reshape(-1, 3) @ wanted
    assert cosine.min() > (np.cos(np.deg2rad(1.0)) if isinstance(fit, DepthFit) else 1 - 1e-5)


@pytest.mark.parametrize("fit", FITS)
def test_normals_face_the_camera(fit: InverseDepthFit | DepthFit, rng: np.random.Generator) -> None:
    """Also of a wall beside the camera, whose normal has a positive z: it is seen from a wide angle only."""
    camera = Camera(60.0, 60.0, 60.0, 50.0, 120, 100)
    wall = np.array([-0.95, 0, 0.3]) / np.linalg.norm([-0.95, 0, 0.3])
    depth_m = plane_depth(camera, wall, 0.03)
    depth_m[(depth_m < 0) | (depth_m > 1)] = 0
    depth_m += (rng.normal(0, 2e-5, depth_m.shape) * (depth_m > 0)).astype(np.float32)
    normals, points = surface_normals(depth_m, camera, fit), camera.backproject(depth_m)
    known = np.linalg.norm(normals, axis=-1) > 0
    assert known.sum() > 100 and (normals[known][:, 2] > 0).any()
    assert ((normals * points).sum(-1)[known] < 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals[known], axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("fit", FITS)
def test_normals_do_not_bridge_a_step_and_are_zero_without_depth(fit: InverseDepthFit | DepthFit) -> None:
    depth_m = flat(0.5)
    depth_m[:, 160:] = 0.55
    depth_m[100:110] = 0
    normals = surface_normals(depth_m, CAMERA, fit)
    assert not normals[100:110].any()
    # A level surface on both sides of the step, up to its edge.
    assert normals[:90, :, 2].max() < -0.9999


@pytest.mark.parametrize("fit", FITS)
def test_only_needed_normals_are_computed(fit: InverseDepthFit | DepthFit, rng: np.random.Generator) -> None:
    depth_m = (flat(0.5) + rng.normal(0, 2e-4, flat(0.5).shape)).astype(np.float32)
    needed = rng.random(depth_m.shape) < 0.1
    needed[50:80] = False
    everywhere = surface_normals(depth_m, CAMERA, fit)
    np.testing.assert_array_equal(
        surface_normals(depth_m, CAMERA, fit, needed), np.where(needed[..., None], everywhere, 0)
    )
