"""Gradients of a rendering with respect to the pose, whatever backend drew it.

The backend draws face ids with the detached pose. Inside a face everything follows in closed form from its plane: the
depth along each pixel's ray, the point of the part that is seen there, and what is interpolated over the face. At the
silhouette the image changes by covering and uncovering pixels: half the motion of the surface across each pair of a
covered and an uncovered neighbour carries the gradient of both pixels, while the value stays the hard rendering. Where
one face of the part hides another it is the same between the pixels of the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.renderer import Renderer

GRAZING_COSINE = 0.05
"""Faces seen under a smaller cosine pass no gradient: there a pixel's depth changes by many times the motion."""


CREASE = 2.0
"""Neighbours lie behind each other where their depths differ by more than so many times what their faces explain."""
STEEPEST = 3.0
"""Up to which slope, in pixels' widths of depth per pixel, the face in front explains a difference."""


@dataclass(frozen=True)
class Occlusions:
    """The M pairs of neighbouring pixels between which the part hides itself.

    front, back: (M, 3) = (image, row, column) of the pixel with the hiding face and of the other.
    growth: (M,) 0, whose gradient is the share of each of the two pixels that the face in front covers anew.
    """

    front: torch.Tensor
    back: torch.Tensor
    growth: torch.Tensor

    def carried(self, values: torch.Tensor) -> torch.Tensor:
        """The same values (B, h, w, K), colours or costs of a pixel, with the gradient of what is hidden and shown."""
        front, back = tuple(self.front.T), tuple(self.back.T)
        change = self.growth[:, None] * (values[front] - values[back]).detach()
        return values.index_put(front, change, accumulate=True).index_put(back, change, accumulate=True)


@dataclass(frozen=True)
class DifferentiableRendering:
    """A batch of renderings whose values are the hard ones and whose gradients reach the poses.

    depth_m: (B, h, w), 0 = background. coverage: (B, h, w), 1 on the part and 0 elsewhere.
    points_obj: (B, h, w, 3) point of the part in metres, object frame; 0 = background.
    normals_cam: (B, h, w, 3) towards the camera; 0 = background.
    attributes: (B, h, w, K) what was given per vertex (colours, say), interpolated; 0 = background.
    face_ids: (B, h, w) int64, -1 = background.
    occlusions: where the part hides itself. Of the images above only `over` passes their gradient on: what a pixel's
        depth is worth where it jumps, its cost tells.
    """

    depth_m: torch.Tensor
    coverage: torch.Tensor
    points_obj: torch.Tensor
    normals_cam: torch.Tensor
    attributes: torch.Tensor
    face_ids: torch.Tensor
    occlusions: Occlusions


class DifferentiableRenderer:
    """Draws the meshes of a renderer; poses and images are tensors of one type, float32 or float64, on one device.

    Images are where the poses are, on the CPU or a GPU; the face ids come from wherever the renderer draws.

    Args:
        renderer: draws the face ids.
        attributes: per mesh (V, K) values at its vertices, such as colours; K is the same for all meshes.
        dtype: of everything.

    Raises:
        BinposeError: if the attributes do not fit the meshes.
    """

    def __init__(
        self, renderer: Renderer, attributes: Sequence[FloatArray] | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        values = [np.zeros((len(m.vertices), 0)) for m in renderer.meshes] if attributes is None else attributes
        if [len(v) for v in values] != [len(m.vertices) for m in renderer.meshes]:
            raise BinposeError(
                f"Attributes for {[len(v) for v in values]} vertices; expected one row per vertex of each mesh, "
                f"{[len(m.vertices) for m in renderer.meshes]}."
            )
        self.renderer, self.dtype = renderer, dtype
        planes = [_planes(mesh, np.asarray(v, np.float64)) for mesh, v in zip(renderer.meshes, values, strict=True)]
        self._columns = tuple(
            torch.from_numpy(np.concatenate(column)).to(dtype) for column in zip(*planes, strict=True)
        )

    def __call__(
        self,
        mesh_ids: npt.NDArray[np.integer],
        T_cam_obj: torch.Tensor,
        intrinsics: torch.Tensor | FloatArray,
        height: int,
        width: int,
    ) -> DifferentiableRendering:
        """One mesh per image.

        Args:
            mesh_ids: (B,) indices of the renderer's meshes.
            T_cam_obj: (B, 4, 4) poses in metres; gradients flow to them.
            intrinsics: (B, 4) or (4,) fx, fy, cx, cy in pixels of each crop.
            height: of each crop in pixels.
            width: of each crop in pixels.

        Raises:
            BinposeError: for an id that is none of a mesh.
        """
        intrinsics = torch.as_tensor(intrinsics, dtype=self.dtype).expand(len(T_cam_obj), 4)
        pose = T_cam_obj.to(self.dtype)
        drawn_from = pose.detach().cpu().double().numpy(), intrinsics.cpu().double().numpy()
        hard = self.renderer.crops(mesh_ids, *drawn_from, height, width)
        device = pose.device
        intrinsics = intrinsics.to(device)
        face_ids = torch.from_numpy(hard.face_ids).to(device).long()
        depth = torch.from_numpy(hard.depth_m).to(device, self.dtype)
        image, row, column = torch.nonzero(face_ids >= 0, as_tuple=True)
        first_face = torch.from_numpy(hard.meshes.face_start[hard.images.mesh_ids]).to(device)
        face = face_ids[image, row, column] + first_face[image]
        ray = _rays(intrinsics, image, row, column)
        R, t = pose[image, :3, :3], pose[image, :3, 3]
        normals, offsets, slopes, base = self._on(device)
        normal = (R @ normals[face][..., None])[..., 0]
        toward = (normal * ray).sum(-1)
        z = (offsets[face] + (normal * t).sum(-1)) / toward
        clear = toward.abs() > GRAZING_COSINE * ray.norm(dim=-1)
        z = torch.where(clear, z, depth[image, row, column])
        point = ((z[:, None] * ray - t)[:, None] @ R)[:, 0]
        values = (point[:, None] @ slopes[face])[:, 0] + base[face]
        index = image, row, column
        normals_cam = _image((*depth.shape, 3), index, -normal * torch.sign(toward.detach())[:, None])
        return DifferentiableRendering(
            depth_m=_image(depth.shape, index, z),
            coverage=coverage(depth, pose, intrinsics),
            points_obj=_image((*depth.shape, 3), index, point),
            normals_cam=normals_cam,
            attributes=_image((*depth.shape, values.shape[1]), index, values),
            face_ids=face_ids,
            occlusions=occlusions(depth, normals_cam.detach(), pose, intrinsics),
        )

    def _on(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The faces' planes on the device, where they stay until poses come from another one."""
        self._columns = tuple(column.to(device) for column in self._columns)
        return self._columns


def coverage(depth_m: torch.Tensor, T_cam_obj: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """(B, h, w) 1 where the depth (B, h, w) is known and 0 elsewhere, with the silhouette's gradient to (B, 4, 4).

    The surface at a covered pixel beside an uncovered one is taken to the object frame, held there, and projected with
    the pose: how far it moves across the border is how much of the two pixels is covered anew.
    """
    hard = (depth_m > 0).to(depth_m.dtype)
    soft = hard
    for axis in (1, 2):
        before, after = _neighbours(depth_m > 0, axis)
        first = torch.nonzero(before != after)
        inside, outside, growth = _borders(depth_m, T_cam_obj, intrinsics, axis, first, before[tuple(first.T)])
        for pixel in (inside, outside):
            soft = soft.index_put(tuple(pixel.T), growth, accumulate=True)
    return soft


def occlusions(
    depth_m: torch.Tensor, normals_cam: torch.Tensor, T_cam_obj: torch.Tensor, intrinsics: torch.Tensor
) -> Occlusions:
    """Where depth (B, h, w) jumps between two pixels of the part by more than its normals (B, h, w, 3) explain.

    What moves is the surface in front, as at the silhouette (`coverage`).
    """
    every = torch.nonzero(depth_m > -1)
    rays = _rays(intrinsics, *every.T).view(*depth_m.shape, 3)
    cosine = (normals_cam * rays).sum(-1, keepdim=True).abs().clamp(min=1e-9)
    width = depth_m[..., None] / intrinsics[:, None, None, :2]
    slope, limit = width * normals_cam[..., :2].abs() / cosine, STEEPEST * width
    found = []
    for axis in (1, 2):
        before, after = _neighbours(depth_m, axis)
        first_is_front = before < after
        first_slope, second_slope = _neighbours(slope[..., 2 - axis], axis)
        in_front = torch.where(first_is_front, first_slope, second_slope)
        behind = torch.where(first_is_front, second_slope, first_slope)
        # The rim of a round face is as steep as can be: it must not explain the jump to what lies behind it.
        explained = torch.maximum(in_front.minimum(_neighbours(limit[..., 2 - axis], axis)[0]), behind)
        apart = (before > 0) & (after > 0) & ((after - before).abs() > CREASE * explained + 1e-4 * before)
        first = torch.nonzero(apart)
        found.append(_borders(depth_m, T_cam_obj, intrinsics, axis, first, first_is_front[tuple(first.T)]))
    return Occlusions(*(torch.cat(column) for column in zip(*found, strict=True)))


def _neighbours(image: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The image without its last, and without its first, row (axis 1) or column (2)."""
    size = image.shape[axis] - 1
    return image.narrow(axis, 0, size), image.narrow(axis, 1, size)


def _borders(
    depth_m: torch.Tensor,
    T_cam_obj: torch.Tensor,
    intrinsics: torch.Tensor,
    axis: int,
    first: torch.Tensor,
    first_is_inside: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of pairs of pixels, the first (M, 3) and the next along the axis: inner ones, outer ones, and the growth (M,).

    growth: zeros with the gradient of how much of each of both pixels the inner one's surface covers anew.
    """
    second = first.clone()
    second[:, axis] += 1
    inside = torch.where(first_is_inside[:, None], first, second)
    outward = 2.0 * first_is_inside.to(depth_m.dtype) - 1.0
    growth = 0.5 * outward * _motion_px(depth_m, T_cam_obj, intrinsics, inside)[:, 2 - axis]
    return inside, first + second - inside, growth


def over(
    values: torch.Tensor,
    coverage: torch.Tensor,
    background: torch.Tensor | float,
    occlusions: Occlusions | None = None,
) -> torch.Tensor:
    """Values (B, h, w, K) of the part laid over a background that broadcasts to them, weighted by (B, h, w) coverage.

    What a pixel just outside of the silhouette would show when the part grew over it is what its neighbours show. With
    the occlusions the gradient of what the part hides of itself is passed on too.
    """
    values = values if occlusions is None else occlusions.carried(values)
    inside = (coverage.detach() > 0.5).to(values.dtype)[..., None]
    grown, count = torch.zeros_like(values), torch.zeros_like(inside)
    for axis in (1, 2):
        size = values.shape[axis] - 1
        for to, of in ((0, 1), (1, 0)):
            source = (values * inside).narrow(axis, of, size)
            grown.narrow(axis, to, size).add_(source)
            count.narrow(axis, to, size).add_(inside.narrow(axis, of, size))
    shown = inside * values + (1 - inside) * grown / count.clamp(min=1.0)
    return coverage[..., None] * shown + (1 - coverage[..., None]) * background


def _motion_px(
    depth_m: torch.Tensor, T_cam_obj: torch.Tensor, intrinsics: torch.Tensor, pixels: torch.Tensor
) -> torch.Tensor:
    """(M, 2) zeros whose gradient is the image motion (u, v) of the surface at pixels (M, 3) = (image, row, column)."""
    image, row, column = pixels.T
    ray = _rays(intrinsics, image, row, column)
    R, t = T_cam_obj[image, :3, :3], T_cam_obj[image, :3, 3]
    point_cam = depth_m.detach()[image, row, column, None] * ray
    point_obj = ((point_cam - t)[:, None] @ R)[:, 0].detach()
    moved = (R @ point_obj[..., None])[..., 0] + t
    projected = intrinsics[image, :2] * moved[:, :2] / moved[:, 2:]
    return projected - projected.detach()


def _rays(intrinsics: torch.Tensor, image: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """(M, 3) directions with z = 1 through the pixels' centres."""
    fx, fy, cx, cy = intrinsics[image].T
    u, v = column.to(intrinsics.dtype), row.to(intrinsics.dtype)
    return torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], -1)


def _image(shape: Sequence[int], index: tuple[torch.Tensor, ...], values: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tuple(shape), dtype=values.dtype, device=values.device).index_put(index, values)


def _planes(mesh: Mesh, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Per face: normal (F, 3), offset n . p (F,), and the values as slopes (F, 3, K) . p + base (F, K)."""
    corners = np.asarray(mesh.vertices, np.float64)[mesh.faces]
    normals = mesh.face_normals.astype(np.float64)
    offsets = (normals * corners[:, 0]).sum(-1)
    at = values[mesh.faces]
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], normals], 1)
    rises = np.stack([at[:, 1] - at[:, 0], at[:, 2] - at[:, 0], np.zeros_like(at[:, 0])], 1)
    slopes = np.linalg.pinv(edges) @ rises  # pinv: a degenerate face has no inverse, and is never drawn
    base = at[:, 0] - (corners[:, :1] @ slopes)[:, 0]
    return normals, offsets, slopes, base
