"""What the pose network sees of one instance: a window of a virtual camera that looks straight at the part's centre."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange

from binpose_core.frames.working_view import WorkingView
from binpose_core.geometry.transforms import FloatArray, exp_so3, rotation_between

CROP_PX = 64
CROP_DIAMETERS = 1.3
CHANNELS = ("x", "y", "z", "valid", "mask", "luma", "normal_x", "normal_y", "normal_z")
REACH_DIAMETERS = 1.2
VALID, MASK, TRUTH = 1, 2, 4
# Turns a crop's frame by 90 degrees about the optical axis: (x, y) -> (y, -x).
QUARTER_TURN = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)


@dataclass(frozen=True)
class Crops:
    """B windows of CROP_PX x CROP_PX pixels, 7 bytes per pixel.

    depth: (B, n, n) float16, depth minus the distance of the centre, in diameters.
    normals: (B, n, n, 3) int8 in 1 / 127; luma: (B, n, n) uint8; flags: (B, n, n) uint8 of VALID, MASK and, in
        training, TRUTH: the part's own pixels, which a detection's mask has not all and not alone.
    distance: (B,) float32, distance of the centre in diameters.
    R_cam_crop: (B, 3, 3) rotation from the virtual camera to the real one.
    """

    depth: npt.NDArray[np.float16]
    normals: npt.NDArray[np.int8]
    luma: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint8]
    distance: npt.NDArray[np.float32]
    R_cam_crop: FloatArray

    def __len__(self) -> int:
        return len(self.distance)

    def __getitem__(self, index: npt.NDArray[np.integer] | slice) -> "Crops":
        return Crops(
            self.depth[index], self.normals[index], self.luma[index], self.flags[index],
            self.distance[index], self.R_cam_crop[index],
        )  # fmt: skip

    def turned(self, quarter_turns: int) -> "Crops":
        """The same windows seen by a camera turned about its axis by as many `QUARTER_TURN`s."""
        normals, R_cam_crop = self.normals, self.R_cam_crop
        for _ in range(quarter_turns % 4):
            normals = np.stack([normals[..., 1], -normals[..., 0], normals[..., 2]], -1)
            R_cam_crop = R_cam_crop @ QUARTER_TURN.T

        def turned(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.ascontiguousarray(np.rot90(image, quarter_turns, (1, 2)))

        return Crops(
            turned(self.depth), turned(normals), turned(self.luma), turned(self.flags), self.distance, R_cam_crop
        )


def concatenate(parts: list[Crops]) -> Crops:
    """All crops of a list in one."""
    names = ("depth", "normals", "luma", "flags", "distance", "R_cam_crop")
    return Crops(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def look_at(centers_cam: FloatArray, roll_rad: FloatArray) -> FloatArray:
    """R_cam_crop (B, 3, 3) of virtual cameras that look at points (B, 3), rolled about their axis by (B,) radians."""
    forward = np.array([0.0, 0.0, 1.0])
    turns = [rotation_between(forward, c) for c in centers_cam]
    rolls = exp_so3(np.asarray(roll_rad)[:, None] * forward)
    return np.array(turns).reshape(-1, 3, 3) @ rolls


def extract_crops(
    view: WorkingView,
    luma: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    instances: npt.NDArray[np.int32],
    centers_cam: FloatArray,
    diameters_m: FloatArray,
    roll_rad: FloatArray | None = None,
) -> Crops:
    """Cut out instances.

    Args:
        view: the working view.
        luma: (h, w) uint8, its brightness.
        labels: (h, w) int32, the instance each pixel belongs to or -1.
        instances: (B,) which label is the part of the crop.
        centers_cam: (B, 3) estimated centres in metres.
        diameters_m: (B,) of the parts.
        roll_rad: (B,) turn of the virtual camera about its axis.
    """
    count = len(instances)
    roll = np.zeros(count) if roll_rad is None else roll_rad
    R_cam_crop = look_at(np.asarray(centers_cam, np.float64), roll)
    distance_m = np.linalg.norm(centers_cam, axis=-1)
    shape = (count, CROP_PX, CROP_PX)
    depth, luma_out = np.zeros(shape, np.float16), np.zeros(shape, np.uint8)
    normals, flags = np.zeros((*shape, 3), np.int8), np.zeros(shape, np.uint8)
    depth_f = np.zeros(shape, np.float32)
    _extract(
        view.depth_m, view.normals, luma, labels, view.camera.intrinsics, np.asarray(instances, np.int32), R_cam_crop,
        distance_m.astype(np.float64), np.asarray(diameters_m, np.float64), depth_f, normals, luma_out, flags,
    )  # fmt: skip
    depth[:] = depth_f
    return Crops(depth, normals, luma_out, flags, (distance_m / diameters_m).astype(np.float32), R_cam_crop)


@njit(parallel=True, cache=True)
def _extract(
    view_depth: npt.NDArray[np.float32],
    view_normals: npt.NDArray[np.float32],
    view_luma: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    intrinsics: FloatArray,
    instances: npt.NDArray[np.int32],
    R_cam_crop: FloatArray,
    distance: FloatArray,
    diameter: FloatArray,
    depth: npt.NDArray[np.float32],
    normals: npt.NDArray[np.int8],
    luma: npt.NDArray[np.uint8],
    flags: npt.NDArray[np.uint8],
) -> None:
    fx, fy, cx, cy = intrinsics
    height, width = view_depth.shape
    n = depth.shape[1]
    for b in prange(depth.shape[0]):
        R = R_cam_crop[b]
        step = CROP_DIAMETERS * diameter[b] / (distance[b] * n)
        for i in range(n):
            for j in range(n):
                rx, ry = (j - 0.5 * (n - 1)) * step, (i - 0.5 * (n - 1)) * step
                x = R[0, 0] * rx + R[0, 1] * ry + R[0, 2]
                y = R[1, 0] * rx + R[1, 1] * ry + R[1, 2]
                z = R[2, 0] * rx + R[2, 1] * ry + R[2, 2]
                if z <= 1e-6:
                    continue
                u, v = int(np.floor(fx * x / z + cx + 0.5)), int(np.floor(fy * y / z + cy + 0.5))
                if u < 0 or v < 0 or u >= width or v >= height:
                    continue
                luma[b, i, j] = view_luma[v, u]
                if labels[v, u] == instances[b]:
                    flags[b, i, j] |= MASK
                zc = view_depth[v, u]
                if zc <= 0.0:
                    continue
                flags[b, i, j] |= VALID
                # The point lies on the ray of this crop pixel at the observed depth: its depth in the virtual camera.
                depth[b, i, j] = min(max((zc / z - distance[b]) / diameter[b], -3.0), 3.0)
                nx, ny, nz = view_normals[v, u, 0], view_normals[v, u, 1], view_normals[v, u, 2]
                for k in range(3):
                    normals[b, i, j, k] = int(127.0 * (R[0, k] * nx + R[1, k] * ny + R[2, k] * nz))


def network_input(crops: Crops, device: torch.device | str = "cpu") -> torch.Tensor:
    """(B, 9, n, n) float32 in the order of `CHANNELS`: coordinates relative to the centre in diameters."""
    flags = torch.from_numpy(crops.flags).to(device)
    valid, mask = (flags & VALID).float(), (flags & MASK).float() / MASK
    distance = torch.from_numpy(crops.distance).to(device)[:, None, None]
    depth = torch.from_numpy(crops.depth).to(device).float()
    n = depth.shape[-1]
    grid = (torch.arange(n, device=device) - 0.5 * (n - 1)) * (CROP_DIAMETERS / n)
    stretch = 1.0 + depth / distance
    xyz = torch.stack([grid * stretch, grid[:, None] * stretch, depth], 1)
    xyz = xyz.clamp(-REACH_DIAMETERS, REACH_DIAMETERS) * valid[:, None]
    normals = torch.from_numpy(crops.normals).to(device).permute(0, 3, 1, 2).float() / 127.0
    luma = local_contrast(torch.from_numpy(crops.luma).to(device).float() / 255.0)
    return torch.cat([xyz, valid[:, None], mask[:, None], luma[:, None], normals], 1)


def local_contrast(luma: torch.Tensor) -> torch.Tensor:
    """Brightness (B, n, n) of each crop with its mean removed, by its deviation; about unit range."""
    mean = luma.mean((1, 2), keepdim=True)
    return ((luma - mean) / (2.0 * luma.std((1, 2), keepdim=True) + 0.05)).clamp(-2.0, 2.0)
