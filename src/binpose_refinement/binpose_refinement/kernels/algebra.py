# mypy: disable-error-code="no-untyped-def"
"""Small numba functions shared by alignment, descent and verification."""

import numpy as np
from numba import njit


@njit
def rotated_normal(normals, face, T, x, y, z):
    """The normal of a face in the camera frame, flipped towards the camera on the ray (x, y, z)."""
    a, b, c = normals[face, 0], normals[face, 1], normals[face, 2]
    nx = T[0, 0] * a + T[0, 1] * b + T[0, 2] * c
    ny = T[1, 0] * a + T[1, 1] * b + T[1, 2] * c
    nz = T[2, 0] * a + T[2, 1] * b + T[2, 2] * c
    if nx * x + ny * y + nz * z > 0.0:
        return -nx, -ny, -nz
    return nx, ny, nz


@njit
def rotation_of(wx, wy, wz, out):
    """Rodrigues' formula into out (3, 3)."""
    angle = np.sqrt(wx * wx + wy * wy + wz * wz)
    if angle < 1e-9:
        a, b = 1.0, 0.5
    else:
        a, b = np.sin(angle) / angle, (1.0 - np.cos(angle)) / (angle * angle)
    out[0, 0], out[0, 1], out[0, 2] = 1 - b * (wy * wy + wz * wz), b * wx * wy - a * wz, b * wx * wz + a * wy
    out[1, 0], out[1, 1], out[1, 2] = b * wx * wy + a * wz, 1 - b * (wx * wx + wz * wz), b * wy * wz - a * wx
    out[2, 0], out[2, 1], out[2, 2] = b * wx * wz - a * wy, b * wy * wz + a * wx, 1 - b * (wx * wx + wy * wy)


@njit
def solve_spd(H, g, x):
    """Solve H x = g for symmetric positive definite H (6, 6) by Cholesky; false when H is not."""
    n = g.shape[0]
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = H[i, j]
            for k in range(j):
                s -= L[i, k] * L[j, k]
            if i == j:
                if s <= 0.0:
                    return False
                L[i, i] = np.sqrt(s)
            else:
                L[i, j] = s / L[j, j]
    for i in range(n):
        s = g[i]
        for k in range(i):
            s -= L[i, k] * x[k]
        x[i] = s / L[i, i]
    for i in range(n - 1, -1, -1):
        s = x[i]
        for k in range(i + 1, n):
            s -= L[k, i] * x[k]
        x[i] = s / L[i, i]
    return True


@njit
def outwards(depth_r, v, u, squared_reach, open_border):
    """Unit direction (u, v) from the rendered pixels around a pixel to the empty ones; zero if there is none.

    The neighbourhood has the radius sqrt(squared_reach). Pixels outside of the crop count as empty with `open_border`,
    and are ignored without it.
    """
    height, width = depth_r.shape
    reach = int(np.sqrt(squared_reach))
    gu = gv = 0.0
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            if i * i + j * j > squared_reach:
                continue
            r, c = v + i, u + j
            inside = 0 <= r < height and 0 <= c < width
            if (inside and depth_r[r, c] <= 0.0) or (open_border and not inside):
                gv += i
                gu += j
    length = np.sqrt(gu * gu + gv * gv)
    return (gu / length, gv / length) if length > 1e-6 else (0.0, 0.0)
