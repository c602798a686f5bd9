"""The reference against shapes whose depth is a formula."""

import numpy as np
import trimesh

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.backends import NOTHING, Drawn, checked_images
from binpose_core.rendering.packed_meshes import PackedMeshes
from binpose_core.rendering.reference_rasterizer import ReferenceBackend, nearest_hits, pixel_rays

INTRINSICS = np.array([50.0, 40.0, 12.3, 9.1])
RAYS = pixel_rays(INTRINSICS, 20, 24)


def triangle_on(normal: FloatArray, offset: float, corners_px: FloatArray) -> FloatArray:
    """(1, 3, 3): the triangle of the plane normal . p = offset that projects onto corners (3, 2) in pixels."""
    rays = np.concatenate([(corners_px - INTRINSICS[2:]) / INTRINSICS[:2], np.ones((3, 1))], 1)
    return (rays * (offset / (rays @ normal))[:, None])[None]


def test_a_ray_goes_through_its_pixel() -> None:
    np.testing.assert_allclose(RAYS[3, 5] * INTRINSICS[[0, 1, 0]], [5 - 12.3, 3 - 9.1, 50.0])
    assert RAYS.shape == (20, 24, 3) and (RAYS[..., 2] == 1).all()


def test_a_triangle_covers_the_pixels_inside_it_with_the_depth_of_its_plane() -> None:
    corners_px, normal = np.array([[2.5, 1.5], [21.5, 1.5], [2.5, 18.6]]), np.array([0.3, -0.2, 1.0])
    corners = triangle_on(normal, 0.4, corners_px)
    rows, columns = np.mgrid[:20, :24]
    inside = (columns > 2.5) & (rows > 1.5) & ((columns - 2.5) / 19 + (rows - 1.5) / 17.1 < 1)
    for winding in (corners, corners[:, ::-1]):
        depth, faces = nearest_hits(RAYS, winding, 0.01)
        np.testing.assert_array_equal(faces, np.where(inside, 0, NOTHING))
        np.testing.assert_allclose(depth[inside], (0.4 / (RAYS @ normal))[inside], rtol=1e-12)
        assert np.isinf(depth[~inside]).all()


def test_the_nearest_of_many_counts_and_nothing_before_the_near_plane() -> None:
    """More triangles than are looked at in one go, one behind the other, in no order."""
    whole = np.array([[-50.0, -50.0], [100.0, -50.0], [-50.0, 100.0]])
    depths = np.random.default_rng(0).permutation(np.linspace(-1, 1, 400))
    corners = np.concatenate([triangle_on(np.array([0, 0, 1.0]), z, whole) for z in depths])
    for near_m in (0.001, 0.3):
        depth, faces = nearest_hits(RAYS, corners, near_m)
        expected = depths[depths >= near_m].min()
        np.testing.assert_allclose(depth, expected, rtol=1e-12)
        assert (depths[faces] == expected).all()


def test_a_ball_is_as_deep_as_the_formula_says_and_shows_the_nearer_instance() -> None:
    ball = trimesh.creation.icosphere(4, 0.05)
    meshes = PackedMeshes([Mesh(ball.vertices.astype(np.float32), ball.faces.astype(np.int32))])
    T_cam_obj = np.repeat(np.eye(4)[None], 3, axis=0)
    T_cam_obj[:, 2, 3] = 0.5, 0.3, -0.3
    images = checked_images(meshes, np.zeros(3, int), T_cam_obj, np.array([0, 3]), INTRINSICS, (20, 24), 0.01)
    drawn = ReferenceBackend(meshes).draw(images)
    # |t r - c| = radius with c = (0, 0, 0.3): t = (0.3 - sqrt(0.09 - r.r (0.09 - radius^2))) / r.r
    square = (RAYS**2).sum(-1)
    root = 0.09 - square * (0.09 - 0.05**2)
    seen = drawn.instance_ids[0] == 1
    assert (seen == (root > 0)).mean() > 0.98 and set(np.unique(drawn.instance_ids)) <= {-1, 0, 1}
    expected = (0.3 - np.sqrt(np.maximum(root, 0))) / square
    assert np.quantile(np.abs(drawn.depth_m[0] - expected)[seen], 0.9) < 2e-4


def test_no_image_is_no_work() -> None:
    images = checked_images(
        PackedMeshes([]), np.zeros(0, int), np.zeros((0, 4, 4)), np.zeros(1, int), INTRINSICS, (3, 4), 0.01
    )
    drawn = ReferenceBackend(PackedMeshes([])).draw(images)
    assert isinstance(drawn, Drawn) and drawn.depth_m.shape == (0, 3, 4)
