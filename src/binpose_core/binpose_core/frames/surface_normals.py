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
class InverseDepthFit:
    """A plane fitted to inverse depth, which is linear in the image: exact for planes, fast for whole images.

    slope_m_per_px: depth difference per pixel of distance (|du| + |dv|) up to which a neighbour is on the surface.
    """

    slope_m_per_px: float


@dataclass(frozen=True)
class DepthFit:
    """A plane fitted to depth, for the needed pixels alone; its gate follows the depth noise.

    A neighbour is on the surface when its depth differs by at most `near_m` + distance * `steepest` * z / f, with the
    distance max(|du|, |dv|), z the pixel's depth and f the focal length fx in pixels.

    near_m: depth difference of any neighbour, metres.
    steepest: tangent of the largest slant of a surface.
    """

    near_m: float
    steepest: float


def surface_normals(
    depth_m: npt.NDArray[np.float32],
    camera: Camera,
    fit: InverseDepthFit | DepthFit,
    needed: npt.NDArray[np.bool_] | None = None,
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
    if isinstance(fit, DepthFit):
        wanted = np.ones(depth.shape, np.bool_) if needed is None else np.ascontiguousarray(needed)
        _fit_depth(depth, camera.intrinsics, fit.near_m, fit.steepest, RADIUS_PX, wanted, normals)
        return normals
    _fit_inverse_depth(depth, camera.intrinsics, RADIUS_PX, fit.slope_m_per_px, normals)
    return normals if needed is None else np.where(needed[..., None], normals, np.float32(0))


@njit(parallel=True, cache=True, fastmath=True)
def _fit_inverse_depth(depth: Any, intrinsics: Any, radius: int, max_slope: float, normals: Any) -> None:
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
    if s < FEWEST:
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


@njit(parallel=True, cache=True)
def _fit_depth(
    depth: Any, intrinsics: Any, near_m: float, steepest: float, radius: int, needed: Any, normals: Any
) -> None:
    for v in prange(depth.shape[0]):  # prange counts in unsigned integers
        for u in range(depth.shape[1]):
            if needed[v, u] and depth[v, u] > 0.0:
                _fit_depth_at(depth, np.int64(v), u, intrinsics, near_m, steepest, radius, normals[v, u])


@njit
def _fit_depth_at(
    depth: Any, v: int, u: int, intrinsics: Any, near_m: float, steepest: float, radius: int, normal: Any
) -> None:
    """Fit the plane z = a + b du + c dv and turn it into a unit normal towards the camera."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    z = depth[v, u]
    reach = steepest * z / fx
    n, su, sv, suu, svv, suv, sz, szu, szv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for dv in range(max(-radius, -v), min(radius, depth.shape[0] - 1 - v) + 1):
        for du in range(max(-radius, -u), min(radius, depth.shape[1] - 1 - u) + 1):
            other = depth[v + dv, u + du]
            d = other - z
            if other <= 0.0 or abs(d) > near_m + reach * max(abs(du), abs(dv)):
                continue
            n += 1.0
            su += du
            sv += dv
            suu += du * du
            svv += dv * dv
            suv += du * dv
            sz += d
            szu += d * du
            szv += d * dv
    if n < FEWEST:
        return
    muu, mvv, muv = suu - su * su / n, svv - sv * sv / n, suv - su * sv / n
    mzu, mzv = szu - sz * su / n, szv - sz * sv / n
    determinant = muu * mvv - muv * muv
    if determinant < 1e-3 * n * n:
        return
    b = (mzu * mvv - mzv * muv) / determinant
    c = (mzv * muu - mzu * muv) / determinant
    x, y = (u - cx) / fx, (v - cy) / fy
    # Tangents along u and v of the surface z * (x, y, 1), and their cross product turned to the camera.
    ax, ay, az = z / fx + x * b, y * b, b
    bx, by, bz = x * c, z / fy + y * c, c
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if nx * x + ny * y + nz > 0.0:
        length = -length
    normal[0], normal[1], normal[2] = nx / length, ny / length, nz / length
