"""The frame as the networks see it: resampled to a wanted ground sample distance, with surface normals.

A network that always sees about the same number of pixels per millimetre works with any camera, and a
sensor with more pixels than that gets its depth noise averaged away.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray

MAX_ENLARGEMENT = 1.6
SIZE_MULTIPLE = 32
NORMAL_RADIUS_PX = 2
MAX_SLOPE_M_PER_PX = 0.004


@dataclass(frozen=True)
class WorkingView:
    """A frame resampled; its sides are multiples of 32, padded at the right and the bottom.

    color: (h, w, 3) uint8. is_mono: whether it is grey repeated.
    depth_m: (h, w) float32, 0 = invalid. normals: (h, w, 3) float32 towards the camera, 0 = unknown.
    camera: of the view, padding included.
    scale: working pixels per frame pixel, across and down; they differ by the rounding of the size.
    gsd_m: metres per working pixel at the median depth.
    """

    color: npt.NDArray[np.uint8]
    is_mono: bool
    depth_m: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    camera: Camera
    scale: tuple[float, float]
    gsd_m: float

    def to_frame_px(self, points_px: FloatArray) -> FloatArray:
        """Image coordinates (..., 2) of the frame for those of the working view."""
        return np.asarray((points_px + 0.5) / self.scale - 0.5)

    def to_working_px(self, points_px: FloatArray) -> FloatArray:
        """Image coordinates (..., 2) of the working view for those of the frame."""
        return np.asarray((points_px + 0.5) * self.scale - 0.5)

    def frame_indices(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Columns (w,) and rows (h,) of the frame in which the view's pixels lie; past its end in the padding."""
        return _indices(self.camera.width, self.scale[0]), _indices(self.camera.height, self.scale[1])


def make_working_view(frame: RgbdFrame, gsd_m: float, max_pixels: int) -> WorkingView:
    """Resample a frame so that one pixel covers about `gsd_m` at the scene's median depth.

    Without depth the frame's `distance_m` takes its place; it is not resampled where that is not known either.

    Args:
        frame: with or without depth.
        gsd_m: wanted metres per pixel.
        max_pixels: the view is made coarser where it would have more pixels than this.
    """
    height, width = frame.camera.height, frame.camera.width
    distance = frame.distance_m
    if frame.depth_m is not None:
        distance = float(np.median(frame.depth_m[frame.depth_m > 0]))
    scale = 1.0 if distance is None else distance / frame.camera.fx / gsd_m
    scale = min(scale, MAX_ENLARGEMENT, np.sqrt(max_pixels / (height * width)))
    scale = 1.0 if 0.93 < scale < 1.07 else scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    color = frame.rgb
    depth = frame.depth_m if frame.depth_m is not None else np.zeros((height, width), np.float32)
    if size != (width, height):
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        depth = resize_depth(depth, size)
    pad = ((0, -size[1] % SIZE_MULTIPLE), (0, -size[0] % SIZE_MULTIPLE))
    color = np.pad(color, (*pad, (0, 0)))
    depth = np.pad(depth, pad)
    resized = frame.camera.resized(*size)
    camera = Camera(resized.fx, resized.fy, resized.cx, resized.cy, color.shape[1], color.shape[0])
    normals = surface_normals(depth, camera)
    gsd = (distance if distance is not None else 1.0) / camera.fx
    scales = (size[0] / width, size[1] / height)
    return WorkingView(color, frame.color.ndim == 2, depth, normals, camera, scales, gsd)


def resize_depth(depth_m: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Depth (H, W) at size (width, height): the mean of the valid pixels on the nearest pixel's surface.

    The area mean is taken only where it agrees with the nearest pixel, so that edges stay edges.
    """
    height, width = depth_m.shape
    # Not with OpenCV, whose releases break ties between two pixels differently: depth and labels are of the same one.
    nearest = depth_m[_indices(size[1], size[1] / height)][:, _indices(size[0], size[0] / width)]
    if size[0] >= width:
        return nearest
    weight = cv2.resize((depth_m > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(depth_m, size, interpolation=cv2.INTER_AREA)
    mean = total / np.maximum(weight, 1e-6)
    smooth = (weight > 0.3) & ((np.abs(mean - nearest) < 0.003) | ((nearest == 0) & (weight > 0.5)))
    return np.where(smooth, mean, nearest).astype(np.float32)


def _indices(count: int, scale: float) -> npt.NDArray[np.int64]:
    """(count,) the pixels of a row or column in which the middles of `count` resampled ones lie."""
    return np.floor((np.arange(count) + 0.5) / scale).astype(np.int64)


def surface_normals(depth_m: npt.NDArray[np.float32], camera: Camera) -> npt.NDArray[np.float32]:
    """Unit normals (H, W, 3) float32 towards the camera from planes fitted to each pixel's neighbours; 0 = unknown.

    A plane is linear in (u, v, 1 / z), so a least-squares fit over the 5 x 5 neighbours is exact for planes.
    """
    normals = np.zeros((*depth_m.shape, 3), np.float32)
    depth_m = np.ascontiguousarray(depth_m, np.float32)
    _fit_normals(depth_m, camera.intrinsics, NORMAL_RADIUS_PX, MAX_SLOPE_M_PER_PX, normals)
    return normals


@njit(parallel=True, cache=True, fastmath=True)
def _fit_normals(depth: Any, intrinsics: Any, radius: int, max_slope: float, normals: Any) -> None:
    """Row by row: the sums over a neighbour are added for a whole row at once, without branches."""
    fx, fy, cx, cy = intrinsics
    height, width = depth.shape
    inverse = np.where(depth > 0, np.float32(1.0) / np.maximum(depth, np.float32(1e-6)), np.float32(0.0))
    for v in prange(height):
        sums = np.zeros((9, width), np.float32)
        for dv in range(-min(radius, v), min(radius, height - 1 - v) + 1):
            for du in range(-radius, radius + 1):
                gate = np.float32(max_slope * (abs(du) + abs(dv)))
                first, last = max(0, -du), min(width, width - du)
                _add_neighbour(
                    depth[v, first:last], inverse[v, first:last], depth[v + dv, first + du : last + du],
                    inverse[v + dv, first + du : last + du], gate, np.float32(du), np.float32(dv), sums[:, first:last],
                )  # fmt: skip
        for u in range(width):
            if depth[v, u] > 0.0:
                _normal_from_sums(sums[:, u], inverse[v, u], fx, fy, u - cx, v - cy, normals[v, u])


@njit(inline="always", fastmath=True)
def _add_neighbour(z: Any, w: Any, z_next: Any, w_next: Any, gate: Any, du: Any, dv: Any, sums: Any) -> None:
    for u in range(z.shape[0]):
        near = (z_next[u] > 0.0) & (abs(z_next[u] - z[u]) <= gate)
        one = np.float32(1.0) if near else np.float32(0.0)
        step = (w_next[u] - w[u]) * one
        sums[0, u] += one
        sums[1, u] += one * du
        sums[2, u] += one * dv
        sums[3, u] += one * du * du
        sums[4, u] += one * dv * dv
        sums[5, u] += one * du * dv
        sums[6, u] += step
        sums[7, u] += step * du
        sums[8, u] += step * dv


@njit(inline="always", fastmath=True)
def _normal_from_sums(sums: Any, inverse: float, fx: float, fy: float, u: float, v: float, normal: Any) -> None:
    """Solve the plane fit 1 / z = centre + a du + b dv and turn it into a unit normal towards the camera."""
    s, su, sv, suu, svv = sums[0], sums[1], sums[2], sums[3], sums[4]
    suv, sw, suw, svw = sums[5], sums[6], sums[7], sums[8]
    if s < 6.0:
        return
    cuu, cvv, cuv = suu - su * su / s, svv - sv * sv / s, suv - su * sv / s
    cuw, cvw = suw - su * sw / s, svw - sv * sw / s
    det = cuu * cvv - cuv * cuv
    if det < 1.0:
        return
    a, b = (cuw * cvv - cvw * cuv) / det, (cvw * cuu - cuw * cuv) / det
    nx, ny = a * fx, b * fy
    nz = inverse + (sw - a * su - b * sv) / s - a * u - b * v
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length >= 1e-12:
        # (nx, ny, nz) . p = 1 on the plane: this vector points away from the camera.
        normal[0], normal[1], normal[2] = -nx / length, -ny / length, -nz / length
