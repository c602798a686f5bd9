"""PyTorch3D's rasteriser as an optional backend: an independent reference, and fast with CUDA.

Its camera frame has z forward, x left and y up, and the shorter side of the image ranges from -1 to 1. It uses float32;
the depth is computed from the plane of the face that it finds, in float64.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.rendering.backends import PLANE_TRUST, Drawn, Images
from binpose_core.rendering.packed_meshes import PackedMeshes
from binpose_core.rendering.reference_rasterizer import pixel_rays

LEAST_Z_M = 1e-9


class Pytorch3dBackend:
    """Renders on the first CUDA device if there is one, else, slowly, on the CPU (or on `device`: cpu or cuda)."""

    def __init__(self, meshes: PackedMeshes, device: str | None = None) -> None:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes

        self._rasterize, self._batch = rasterize_meshes, Meshes
        self._meshes = meshes.meshes
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def draw(self, images: Images) -> Drawn:
        """The nearest surface under every pixel."""
        drawn = Drawn.empty(images.shape)
        faces = np.array([len(mesh.faces) for mesh in self._meshes], np.int64)[images.mesh_ids]
        usable = np.isfinite(images.T_cam_obj).all((1, 2)) & (faces > 0)
        spans = [begin + np.flatnonzero(usable[begin:end]) for begin, end in pairwise(images.first_instance)]
        shown = [image for image, instances in enumerate(spans) if len(instances)]
        if not shown or 0 in images.shape:
            return drawn
        corners = [[self._corners(images, n) for n in spans[image]] for image in shown]
        depth, primitive = self._primitives(images, shown, [np.concatenate(own) for own in corners])
        for place, (image, own) in enumerate(zip(shown, corners, strict=True)):
            ends = np.cumsum([len(c) for c in own])
            mask = primitive[place] >= 0
            found = primitive[place][mask]
            instance = np.searchsorted(ends, found, side="right")
            rays = pixel_rays(images.intrinsics[image], images.height, images.width)[mask]
            drawn.depth_m[image][mask] = plane_depths(np.concatenate(own)[found], rays, depth[place][mask])
            drawn.instance_ids[image][mask] = spans[image][instance]
            drawn.face_ids[image][mask] = found - np.append(0, ends)[instance]
        return drawn

    def _corners(self, images: Images, n: int) -> FloatArray:
        """(F, 3, 3) of an instance's triangles, camera frame, metres."""
        mesh = self._meshes[images.mesh_ids[n]]
        return transform(images.T_cam_obj[n], mesh.vertices.astype(np.float64))[mesh.faces]

    def _primitives(
        self, images: Images, shown: list[int], corners: list[FloatArray]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Depths and indices into an image's triangles (len(shown), h, w), index -1 = background."""
        points = [
            _to_ndc(own.reshape(-1, 3), images.intrinsics[image], images.height, images.width)
            for image, own in zip(shown, corners, strict=True)
        ]
        batch = self._batch(
            verts=[torch.as_tensor(p, dtype=torch.float32, device=self._device) for p in points],
            faces=[torch.arange(len(p), device=self._device).reshape(-1, 3) for p in points],
        )
        crosses = any((own[..., 2] < images.near_m).any() for own in corners)
        face, depth, _, _ = self._rasterize(
            batch,
            image_size=(images.height, images.width),
            faces_per_pixel=1,
            perspective_correct=True,
            z_clip_value=images.near_m if crosses else None,
        )
        first = batch.mesh_to_faces_packed_first_idx()[:, None, None, None]
        primitive = torch.where(face >= 0, face - first, face)
        return depth[..., 0].cpu().numpy(), primitive[..., 0].cpu().numpy()


def plane_depths(corners: FloatArray, rays: FloatArray, found: FloatArray) -> FloatArray:
    """Depths (N,) where rays (N, 3), z = 1, hit the planes of triangles (N, 3, 3); `found` (N,) if ill-conditioned."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = (normals * corners[:, 0]).sum(-1) / (normals * rays).sum(-1)
    return np.where(np.abs(exact - found) <= PLANE_TRUST * found, exact, found)


def _to_ndc(points_cam: FloatArray, intrinsics: FloatArray, height: int, width: int) -> FloatArray:
    """PyTorch3D's image coordinates x, y and the depth (N, 3) of points (N, 3) in the camera frame."""
    fx, fy, cx, cy = intrinsics
    x, y, z = points_cam.T
    z = np.where(np.abs(z) < LEAST_Z_M, LEAST_Z_M, z)
    u, v = fx * x / z + cx, fy * y / z + cy
    scale = 2 / min(height, width)
    return np.stack([(width / 2 - 0.5 - u) * scale, (height / 2 - 0.5 - v) * scale, z], -1)
