"""What the pose network sees of one instance: a window of a virtual camera that looks straight at the part's centre."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange

from binpose_core.frames.working_view import WorkingView
from binpose_core.geometry.transforms import FloatArray, exp_so3, rotation_between
from binpose_estimator.crop_content import CropContent

REACH_DIAMETERS = 1.2
VALID, MASK, TRUTH = 1, 2, 4
# Turns a crop's frame by 90 degrees about the optical axis: (x, y) -> (y, -x).
QUARTER_TURN = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
IMAGES = ("depth", "normals", "luma", "rgb", "flags")


@dataclass(frozen=True)
class Crops:
    """B windows of n x n pixels, n = `content.size_px`; images that the content does not need are empty, (B, 0, 0).

    content: what the network sees of them.
    depth: (B, n, n) float16, depth minus the distance of the centre, in diameters.
    normals: (B, n, n, 3) int8 in 1 / 127; luma: (B, n, n) uint8; rgb: (B, n, n, 3) uint8.
    flags: (B, n, n) uint8 of VALID, MASK and, in training, TRUTH: the part's own pixels, which a detection's mask has
        not all and not alone.
    distance: (B,) float32, distance of the centre in diameters.
    R_cam_crop: (B, 3, 3) rotation from the virtual camera to the real one.
    """

    content: CropContent
    depth: npt.NDArray[np.float16]
    normals: npt.NDArray[np.int8]
    luma: npt.NDArray[np.uint8]
    rgb: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint8]
    distance: npt.NDArray[np.float32]
    R_cam_crop: FloatArray

    def __len__(self) -> int:
        return len(self.distance)

    def __getitem__(self, index: npt.NDArray[np.integer] | slice) -> "Crops":
        images = {name: getattr(self, name)[index] for name in IMAGES}
        return Crops(self.content, **images, distance=self.distance[index], R_cam_crop=self.R_cam_crop[index])

    def turned(self, quarter_turns: int) -> "Crops":
        """The same windows seen by a camera turned about its axis by as many `QUARTER_TURN`s."""
        normals, R_cam_crop = self.normals, self.R_cam_crop
        for _ in range(quarter_turns % 4):
            normals = np.stack([normals[..., 1], -normals[..., 0], normals[..., 2]], -1)
            R_cam_crop = R_cam_crop @ QUARTER_TURN.T
        images = {name: getattr(self, name) for name in IMAGES} | {"normals": normals}
        turned = {n: np.ascontiguousarray(np.rot90(image, quarter_turns, (1, 2))) for n, image in images.items()}
        return Crops(self.content, **turned, distance=self.distance, R_cam_crop=R_cam_crop)


def concatenate(parts: list[Crops]) -> Crops:
    """All crops of a list, which have the same content, in one."""
    names = (*IMAGES, "distance", "R_cam_crop")
    return Crops(parts[0].content, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def look_at(centers_cam: FloatArray, roll_rad: FloatArray) -> FloatArray:
    """R_cam_crop (B, 3, 3) of virtual cameras that look at points (B, 3), rolled about their axis by (B,) radians."""
    forward = np.array([0.0, 0.0, 1.0])
    turns = [rotation_between(forward, c) for c in centers_cam]
    rolls = exp_so3(np.asarray(roll_rad)[:, None] * forward)
    return np.array(turns).reshape(-1, 3, 3) @ rolls


def extract_crops(
    view: WorkingView,
    content: CropContent,
    labels: npt.NDArray[np.int32],
    instances: npt.NDArray[np.int32],
    centers_cam: FloatArray,
    diameters_m: FloatArray,
    roll_rad: FloatArray | None = None,
) -> Crops:
    """Cut out instances.

    Args:
        view: the working view.
        content: which images the crops carry.
        labels: (h, w) int32, the instance each pixel belongs to or -1.
        instances: (B,) which label is the part of the crop.
        centers_cam: (B, 3) estimated centres in metres.
        diameters_m: (B,) of the parts.
        roll_rad: (B,) turn of the virtual camera about its axis.
    """
    roll = np.zeros(len(instances)) if roll_rad is None else roll_rad
    R_cam_crop = look_at(np.asarray(centers_cam, np.float64), roll)
    distance_m = np.linalg.norm(centers_cam, axis=-1)
    gray = cv2.cvtColor(view.color, cv2.COLOR_RGB2GRAY) if "luma" in content.names else np.zeros((0, 0), np.uint8)
    depth, normals, luma, rgb, flags = _empty_images(content, len(instances))
    _extract(
        view.depth_m, view.normals, gray, view.color, labels, view.camera.intrinsics,
        np.asarray(instances, np.int32), R_cam_crop, distance_m.astype(np.float64),
        np.asarray(diameters_m, np.float64), content.diameters, depth, normals, luma, rgb, flags,
    )  # fmt: skip
    distance = (distance_m / diameters_m).astype(np.float32)
    return Crops(content, depth.astype(np.float16), normals, luma, rgb, flags, distance, R_cam_crop)


def _empty_images(content: CropContent, count: int) -> tuple[npt.NDArray[Any], ...]:
    """Depth (float32), normals, luma, RGB and flags of as many crops, without pixels where nothing asks for them."""

    def image(name: str, dtype: npt.DTypeLike, *channels: int) -> npt.NDArray[Any]:
        size = content.size_px if name in content.names else 0
        return np.zeros((count, size, size, *channels), dtype)

    flags = np.zeros((count, content.size_px, content.size_px), np.uint8)
    return (
        image("points", np.float32), image("normals", np.int8, 3), image("luma", np.uint8),
        image("rgb", np.uint8, 3), flags,
    )  # fmt: skip


@njit(parallel=True, cache=True)
def _extract(
    view_depth: npt.NDArray[np.float32],
    view_normals: npt.NDArray[np.float32],
    view_luma: npt.NDArray[np.uint8],
    view_rgb: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    intrinsics: FloatArray,
    instances: npt.NDArray[np.int32],
    R_cam_crop: FloatArray,
    distance: FloatArray,
    diameter: FloatArray,
    width_diameters: float,
    depth: npt.NDArray[np.float32],
    normals: npt.NDArray[np.int8],
    luma: npt.NDArray[np.uint8],
    rgb: npt.NDArray[np.uint8],
    flags: npt.NDArray[np.uint8],
) -> None:
    fx, fy, cx, cy = intrinsics
    height, width = view_depth.shape
    n = flags.shape[1]
    with_depth, with_normals, with_luma, with_rgb = (
        depth.shape[1] > 0, normals.shape[1] > 0, luma.shape[1] > 0, rgb.shape[1] > 0,
    )  # fmt: skip
    for b in prange(flags.shape[0]):
        R = R_cam_crop[b]
        step = width_diameters * diameter[b] / (distance[b] * n)
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
                if with_luma:
                    luma[b, i, j] = view_luma[v, u]
                if with_rgb:
                    for k in range(3):
                        rgb[b, i, j, k] = view_rgb[v, u, k]
                if labels[v, u] == instances[b]:
                    flags[b, i, j] |= MASK
                zc = view_depth[v, u]
                if zc <= 0.0:
                    continue
                flags[b, i, j] |= VALID
                if with_depth:
                    # The point lies on this crop pixel's ray at the observed depth: its depth in the virtual camera.
                    depth[b, i, j] = min(max((zc / z - distance[b]) / diameter[b], -3.0), 3.0)
                if with_normals:
                    nx, ny, nz = view_normals[v, u, 0], view_normals[v, u, 1], view_normals[v, u, 2]
                    for k in range(3):
                        normals[b, i, j, k] = int(127.0 * (R[0, k] * nx + R[1, k] * ny + R[2, k] * nz))


@dataclass(frozen=True)
class CropInputs:
    """What the network sees of B crops; `inputs["mask"]` is one of its images (B, c, n, n).

    content: the images. x: (B, C, n, n) float32, their channels in its order. distance: (B,) float32 of the centres in
        diameters.
    """

    content: CropContent
    x: torch.Tensor
    distance: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.x[:, self.content.where(name)]

    def take(self, index: torch.Tensor) -> "CropInputs":
        """Those of an index or boolean tensor (B,)."""
        return CropInputs(self.content, self.x[index], self.distance[index])


def network_input(crops: Crops, device: torch.device | str = "cpu") -> CropInputs:
    """The images of the crops' content as float32, lengths in diameters."""
    flags = torch.from_numpy(crops.flags).to(device)
    distance = torch.from_numpy(crops.distance).to(device)
    valid = (flags & VALID).float()
    images: dict[str, Callable[[], torch.Tensor]] = {
        "points": lambda: _points(crops, distance, valid),
        "valid": lambda: valid[:, None],
        "mask": lambda: ((flags & MASK).float() / MASK)[:, None],
        "luma": lambda: local_contrast(torch.from_numpy(crops.luma).to(device).float() / 255.0)[:, None],
        "rgb": lambda: torch.from_numpy(crops.rgb).to(device).permute(0, 3, 1, 2).float() / 255.0,
        "normals": lambda: torch.from_numpy(crops.normals).to(device).permute(0, 3, 1, 2).float() / 127.0,
    }
    return CropInputs(crops.content, torch.cat([images[name]() for name in crops.content.names], 1), distance)


def _points(crops: Crops, distance: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(B, 3, n, n) coordinates relative to the crop's centre in its frame, 0 where there is no depth."""
    depth = torch.from_numpy(crops.depth).to(valid.device).float()
    n = depth.shape[-1]
    grid = (torch.arange(n, device=valid.device) - 0.5 * (n - 1)) * (crops.content.diameters / n)
    stretch = 1.0 + depth / distance[:, None, None]
    xyz = torch.stack([grid * stretch, grid[:, None] * stretch, depth], 1)
    return xyz.clamp(-REACH_DIAMETERS, REACH_DIAMETERS) * valid[:, None]


def local_contrast(luma: torch.Tensor) -> torch.Tensor:
    """Brightness (B, n, n) of each crop with its mean removed, by its deviation; about unit range."""
    mean = luma.mean((1, 2), keepdim=True)
    return ((luma - mean) / (2.0 * luma.std((1, 2), keepdim=True) + 0.05)).clamp(-2.0, 2.0)
