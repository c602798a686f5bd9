# mypy: disable-error-code="no-untyped-def"
"""Computed once per frame: surface normals and the gradient of the gray image."""

import numpy as np
from numba import njit, prange

STEEPEST = 3.0  # tangent of the slant beyond which neighbouring pixels are no longer one surface


@njit(parallel=True, cache=True)
def fit_normals(depth, intrinsics, gate_m, radius, needed, normals):
    """Normals of planes z = a + b du + c dv fitted to the neighbours of one surface, where `needed`."""
    for v in prange(depth.shape[0]):  # prange counts in unsigned integers
        for u in range(depth.shape[1]):
            if needed[v, u] and depth[v, u] > 0.0:
                _fit_normal(depth, np.int64(v), u, intrinsics, gate_m, radius, normals[v, u])


@njit
def _fit_normal(depth, v, u, intrinsics, gate_m, radius, normal):
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    z = depth[v, u]
    reach = STEEPEST * z / fx
    n, su, sv, suu, svv, suv, sz, szu, szv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for dv in range(max(-radius, -v), min(radius, depth.shape[0] - 1 - v) + 1):
        for du in range(max(-radius, -u), min(radius, depth.shape[1] - 1 - u) + 1):
            other = depth[v + dv, u + du]
            d = other - z
            if other <= 0.0 or abs(d) > gate_m + reach * max(abs(du), abs(dv)):
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
    if n < 6.0:
        return
    muu, mvv, muv = suu - su * su / n, svv - sv * sv / n, suv - su * sv / n
    mzu, mzv = szu - sz * su / n, szv - sz * sv / n
    determinant = muu * mvv - muv * muv
    if determinant < 1e-3 * n * n:
        return
    b = (mzu * mvv - mzv * muv) / determinant
    c = (mzv * muu - mzu * muv) / determinant
    x, y = (u - cx) / fx, (v - cy) / fy
    # Tangents along u and v of the surface z * (x, y, 1), and their cross product flipped towards the camera.
    ax, ay, az = z / fx + x * b, y * b, b
    bx, by, bz = x * c, z / fy + y * c, c
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if nx * x + ny * y + nz > 0.0:
        length = -length
    normal[0], normal[1], normal[2] = nx / length, ny / length, nz / length


@njit(parallel=True, cache=True)
def image_gradient(gray, needed, edges):
    """Sobel gradient (H, W, 2) in gray levels per pixel, where `needed`."""
    height, width = gray.shape
    for v in prange(1, height - 1):
        for u in range(1, width - 1):
            if not needed[v, u]:
                continue
            a, b, c = float(gray[v - 1, u - 1]), float(gray[v - 1, u]), float(gray[v - 1, u + 1])
            d, f = float(gray[v, u - 1]), float(gray[v, u + 1])
            g, h, i = float(gray[v + 1, u - 1]), float(gray[v + 1, u]), float(gray[v + 1, u + 1])
            edges[v, u, 0] = (c + 2 * f + i - a - 2 * d - g) / 8
            edges[v, u, 1] = (g + 2 * h + i - a - 2 * b - c) / 8
