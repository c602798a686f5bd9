"""Surface normals of a depth image: planes fitted to each pixel's neighbours on the same surface."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.frames.camera import Camera

RADIUS_PX = 2
FEWEST = 6
"""Neighbours, the pixel itself included, that a plane is fitted to."""


@dataclass(frozen=True)
class NormalFit:
    """Which neighbours are on a pixel's surface, and how the plane is fitted to them.

    A neighbour is on the surface when its depth differs by at most `near_m` + `distance` * (`slope_m_per_px` +
    `steepest` * z / f), with z the pixel's depth and f the focal length fx in pixels.

    near_m: depth difference of any neighbour, metres.
    slope_m_per_px: further depth difference per pixel of distance, metres.
    steepest: further depth difference per pixel of distance, in sizes of the pixel: tangent of the surface's slant.
    manhattan: whether the distance of a neighbour is |du| + |dv|, or the larger of the two.
    through_pixel: whether the plane goes through the pixel's own depth, and depth is taken for linear in the image.
        Otherwise the fit is of inverse depth, which is linear in the image for planes, so that it is exact for them.
    """

    near_m: float = 0.0
    slope_m_per_px: float = 0.0
    steepest: float = 0.0
    manhattan: bool = False
    through_pixel: bool = False


def surface_normals(
    depth_m: npt.NDArray[np.float32], camera: Camera, fit: NormalFit, needed: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float32]:
    """Unit normals (H, W, 3) float32 in the camera frame, towards the camera; 0 = unknown or not needed.

    Args:
        depth_m: (H, W), 0 = invalid.
        camera: of the image.
        fit: of the planes.
        needed: (H, W) the pixels whose normals are wanted; all when None.
    """
    depth = np.ascontiguousarray(depth_m, np.float32)
    normals = np.zeros((*depth.shape, 3), np.float32)
    values = depth.astype(np.float64) if fit.through_pixel else _inverse(depth)
    needed = np.ones(depth.shape, np.bool_) if needed is None else np.ascontiguousarray(needed)
    gate = np.array([fit.near_m, fit.slope_m_per_px, fit.steepest / camera.fx])
    _fit_normals(depth, values, needed, camera.intrinsics, RADIUS_PX, gate, fit.manhattan, fit.through_pixel, normals)
    return normals


def _inverse(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.where(depth > 0, np.float32(1.0) / np.maximum(depth, np.float32(1e-6)), np.float32(0.0))


@njit(parallel=True, cache=True, fastmath=True)
def _fit_normals(
    depth: Any, values: Any, needed: Any, intrinsics: Any, radius: int, gate: Any, manhattan: bool, through: bool,
    normals: Any,
) -> None:  # fmt: skip
    """Row by row: the sums over a neighbour are added for a whole row at once, without branches."""
    height, width = depth.shape
    for v in prange(height):
        wanted = np.flatnonzero(needed[v])
        if len(wanted) == 0:
            continue
        start, stop = wanted[0], wanted[-1] + 1
        sums = np.zeros((9, width), values.dtype)
        limit = np.zeros(2, values.dtype)
        for dv in range(-min(radius, v), min(radius, height - 1 - v) + 1):
            for du in range(-radius, radius + 1):
                distance = abs(du) + abs(dv) if manhattan else max(abs(du), abs(dv))
                limit[0], limit[1] = gate[0] + gate[1] * distance, gate[2] * distance
                first, last = max(start, -du), min(stop, width - du)
                if first >= last:
                    continue
                _add_neighbour(
                    depth[v, first:last], values[v, first:last], depth[v + dv, first + du : last + du],
                    values[v + dv, first + du : last + du], limit[0], limit[1], np.float32(du), np.float32(dv),
                    sums[:, first:last],
                )  # fmt: skip
        for u in range(start, stop):
            if needed[v, u] and depth[v, u] > 0.0:
                _normal_from_sums(sums[:, u], values[v, u], through, intrinsics, u, v, normals[v, u])


@njit(inline="always", fastmath=True)
def _add_neighbour(
    z: Any, w: Any, z_next: Any, w_next: Any, limit: Any, limit_per_m: Any, du: Any, dv: Any, sums: Any
) -> None:
    for u in range(z.shape[0]):
        near = (z_next[u] > 0.0) & (abs(z_next[u] - z[u]) <= limit + limit_per_m * z[u])
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
def _normal_from_sums(sums: Any, value: Any, through: bool, intrinsics: Any, u: int, v: int, normal: Any) -> None:
    """Solve the plane fit value = centre + a du + b dv and turn it into a unit normal towards the camera."""
    fx, fy, cx, cy = intrinsics
    s, su, sv, suu, svv = sums[0], sums[1], sums[2], sums[3], sums[4]
    suv, sw, suw, svw = sums[5], sums[6], sums[7], sums[8]
    if s < FEWEST:
        return
    cuu, cvv, cuv = suu - su * su / s, svv - sv * sv / s, suv - su * sv / s
    cuw, cvw = suw - su * sw / s, svw - sv * sw / s
    det = cuu * cvv - cuv * cuv  # at least 6 for so many pixels of 5 x 5, which lie on no line
    a, b = (cuw * cvv - cvw * cuv) / det, (cvw * cuu - cuw * cuv) / det
    if through:  # slopes of depth: those of inverse depth are their multiples
        inverse = 1.0 / value
        a, b, center = -a * inverse * inverse, -b * inverse * inverse, inverse
    else:
        center = value + (sw - a * su - b * sv) / s
    nx, ny = a * fx, b * fy
    nz = center - a * (u - cx) - b * (v - cy)
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length >= 1e-12:
        # (nx, ny, nz) . p = 1 on the plane: this vector points away from the camera.
        normal[0], normal[1], normal[2] = -nx / length, -ny / length, -nz / length
