"""The reference implementation of the backends: every pixel's ray against every triangle, in float64."""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.rendering.backends import NOTHING, Drawn, Images
from binpose_core.rendering.packed_meshes import PackedMeshes

PAIRS_AT_ONCE = 50_000


class ReferenceBackend:
    """Simple and slow: seconds per image. The other backends must give the same result."""

    def __init__(self, meshes: PackedMeshes) -> None:
        self._meshes = meshes.meshes

    def draw(self, images: Images) -> Drawn:
        """The nearest surface under every pixel."""
        drawn = Drawn.empty(images.shape)
        for image, intrinsics in enumerate(images.intrinsics):
            rays = pixel_rays(intrinsics, images.height, images.width)
            for n in range(images.first_instance[image], images.first_instance[image + 1]):
                mesh = self._meshes[images.mesh_ids[n]]
                corners = transform(images.T_cam_obj[n], mesh.vertices.astype(np.float64))[mesh.faces]
                depth, faces = nearest_hits(rays, corners, images.near_m)
                before = drawn.depth_m[image]
                closer = (faces != NOTHING) & ((before == 0) | (depth < before))
                drawn.depth_m[image][closer] = depth[closer]
                drawn.instance_ids[image][closer] = n
                drawn.face_ids[image][closer] = faces[closer]
        return drawn


def pixel_rays(intrinsics: FloatArray, height: int, width: int) -> FloatArray:
    """Rays (height, width, 3) with z = 1 through the pixels' centres, of intrinsics (4,)."""
    fx, fy, cx, cy = intrinsics
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(u.shape)], -1)


def nearest_hits(rays: FloatArray, corners: FloatArray, near_m: float) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """Depths (...) and faces (...) of the first triangle past the near plane on each ray, inf and -1 without one.

    The point t r of the ray r (z = 1) in the triangle (a, b, c) is a mean of the corners: t r = x a + y b + z c with
    x + y + z = 1. By Cramer's rule x : y : z = r.(b x c) : r.(c x a) : r.(a x b), none negative inside, and
    t = a.(b x c) / their sum. Instead of clipping, depths before the near plane are ignored.

    Args:
        rays: (..., 3) with z = 1, camera frame.
        corners: (F, 3, 3) of triangles, camera frame, metres.
        near_m: the near plane.
    """
    count = int(np.prod(rays.shape[:-1]))
    depth, faces = np.full(count, np.inf), np.full(count, NOTHING, np.int32)
    opposite = np.cross(np.roll(corners, -1, axis=1), np.roll(corners, -2, axis=1))  # (F, 3, 3): b x c, c x a, a x b
    volume = (corners[:, 0] * opposite[:, 0]).sum(-1)
    step = max(1, PAIRS_AT_ONCE // count)
    for begin in range(0, len(corners), step):
        some = slice(begin, begin + step)
        signed = np.sign(volume[some])[:, None, None] * opposite[some]
        weights = (rays.reshape(-1, 3) @ signed.reshape(-1, 3).T).reshape(count, -1, 3)  # (rays, F, 3)
        total = weights.sum(-1)
        hit = (weights >= 0).all(-1) & (total > 0)
        t = np.divide(abs(volume[some]), total, where=hit, out=np.full(hit.shape, np.inf))
        t[t < near_m] = np.inf
        first = t.argmin(1)
        closest = np.take_along_axis(t, first[:, None], 1)[:, 0]
        closer = closest < depth
        depth[closer], faces[closer] = closest[closer], begin + first[closer]
    return depth.reshape(rays.shape[:-1]), faces.reshape(rays.shape[:-1])
