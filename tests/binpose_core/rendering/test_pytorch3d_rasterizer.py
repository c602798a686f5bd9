"""What is particular to PyTorch3D as a backend; test_render_backends.py compares what it draws where there is one."""

import numpy as np

from binpose_core.rendering.pytorch3d_rasterizer import _to_ndc, plane_depths


def test_the_corners_of_the_image_in_its_coordinates() -> None:
    """x to the left, y up, the shorter side from -1 to 1, and pixels' edges half a pixel beyond their centres."""
    intrinsics, z = np.array([100.0, 120.0, 31.5, 23.5]), 2.0
    pixels = np.array([[-0.5, -0.5], [63.5, 47.5], [31.5, 23.5]])
    points = np.concatenate([(pixels - intrinsics[2:]) / intrinsics[:2] * z, np.full((3, 1), z)], 1)
    expected = [[64 / 48, 1, z], [-64 / 48, -1, z], [0, 0, z]]
    np.testing.assert_allclose(_to_ndc(points, intrinsics, 48, 64), expected, atol=1e-12)
    assert np.isfinite(_to_ndc(np.zeros((1, 3)), intrinsics, 48, 64)).all()


def test_depths_are_those_of_the_planes_but_for_grazing_rays() -> None:
    corners = np.array([[[0, 0, 1], [1, 0, 1], [0, 1, 1.5]], [[0, 0, 1], [0, 1, 1], [0, 0, 2]]], float)
    rays = np.array([[0.2, 0.1, 1], [0, 0.3, 1]])  # the second lies in its plane x = 0
    exact = plane_depths(corners, rays, np.array([1 / 0.95 + 1e-6, 1.5]))
    np.testing.assert_allclose(exact, [1 / 0.95, 1.5], rtol=1e-12)
