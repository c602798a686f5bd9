# mypy: disable-error-code="no-untyped-def"
"""The colour term of the joint loss (Mu et al., eqs. 6 and 7) for parts that have colours, and its equations.

Where the part is rendered on its detection, each rendered pixel is compared with the most similar observed one nearby,
and each observed one with the most similar rendered one. The reference implementation is `joint_loss.color_loss`.
"""

import numpy as np
from numba import njit

SMOOTH = 1e-6  # added under the root of a difference: it has a gradient at zero


@njit
def compare_colors(
    depth_r, faces_r, chroma_f, first_face, center, lever, window, intrinsics, chroma_o, pixels, own, reach, scale,
    weight, g, H,
):  # fmt: skip
    """The mean difference of chroma, at most 2; adds its weighted gradient and Gauss-Newton curvature to g and H.

    A difference of `scale` or more has a loss of 1.
    """
    size = depth_r.shape[0]
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    count, cost = 0, 0.0
    for v in range(size):
        for u in range(size):
            count += depth_r[v, u] > 0.0 and pixels[v, u] == own
    each = weight / max(count, 1)
    for v in range(size):
        for u in range(size):
            if depth_r[v, u] <= 0.0 or pixels[v, u] != own:
                continue
            shown = chroma_f[first_face + faces_r[v, u]]
            seen = chroma_o[v0 + step * v, u0 + step * u]
            near_seen, near_shown = np.inf, np.inf
            sv = su = rv = ru = -1
            for i in range(max(v - reach, 0), min(v + reach + 1, size)):
                for j in range(max(u - reach, 0), min(u + reach + 1, size)):
                    row, column = v0 + step * i, u0 + step * j
                    if 0 <= row < chroma_o.shape[0] and 0 <= column < chroma_o.shape[1]:
                        d = _squared(shown, chroma_o[row, column])
                        if d < near_seen:
                            near_seen, sv, su = d, row, column
                    if depth_r[i, j] > 0.0:
                        d = _squared(chroma_f[first_face + faces_r[i, j]], seen)
                        if d < near_shown:
                            near_shown, rv, ru = d, i, j
            cost += _add(
                depth_r, faces_r, chroma_f, first_face, center, lever, window, intrinsics, v, u, chroma_o[sv, su],
                scale, each, g, H,
            )  # fmt: skip
            cost += _add(
                depth_r, faces_r, chroma_f, first_face, center, lever, window, intrinsics, rv, ru, seen, scale, each,
                g, H,
            )  # fmt: skip
    return cost / max(count, 1)


@njit
def _squared(a, b):
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


@njit
def _add(
    depth_r, faces_r, chroma_f, first_face, center, lever, window, intrinsics, v, u, wanted, scale, weight, g, H
):  # fmt: skip
    """Loss of rendered pixel (v, u) against the wanted chroma; adds its equations to g and H.

    The rendered colours move in the image with the surface: a pixel changes by their slope along the motion.
    """
    shown = chroma_f[first_face + faces_r[v, u]]
    cost = np.sqrt(_squared(shown, wanted) / (scale * scale) + SMOOTH)
    if cost >= 1.0:
        return 1.0
    z, step = depth_r[v, u], window[2]
    x = (window[0] + step * u - intrinsics[2]) / intrinsics[0]
    y = (window[1] + step * v - intrinsics[3]) / intrinsics[1]
    fx, fy = intrinsics[0] / step / z, intrinsics[1] / step / z
    ax, ay, az = (x * z - center[0]) / lever, (y * z - center[1]) / lever, (z - center[2]) / lever
    J = np.empty(6)
    for k in range(2):
        along_u = _slope(depth_r, faces_r, chroma_f, first_face, v, u, 0, 1, k) / scale
        along_v = _slope(depth_r, faces_r, chroma_f, first_face, v, u, 1, 0, k) / scale
        if along_u == 0.0 and along_v == 0.0:
            continue
        a, b = -along_u * fx, -along_v * fy
        c = -(a * x + b * y)
        J[0], J[1], J[2] = a, b, c
        J[3], J[4], J[5] = ay * c - az * b, az * a - ax * c, ax * b - ay * a
        r = (shown[k] - wanted[k]) / scale
        for i in range(6):
            g[i] += weight * r * J[i] / cost
            for j in range(i + 1):
                H[i, j] += weight * J[i] * J[j] / cost
    return cost


@njit
def _slope(depth_r, faces_r, chroma_f, first_face, v, u, dv, du, k):
    """Change of the rendered chroma per crop pixel along (dv, du), from those neighbours that show the part."""
    size = depth_r.shape[0]
    low, high, length = (v, u), (v, u), 0
    if v + dv < size and u + du < size and depth_r[v + dv, u + du] > 0.0:
        high, length = (v + dv, u + du), length + 1
    if v >= dv and u >= du and depth_r[v - dv, u - du] > 0.0:
        low, length = (v - dv, u - du), length + 1
    if length == 0:
        return 0.0
    rise = chroma_f[first_face + faces_r[high], k] - chroma_f[first_face + faces_r[low], k]
    return rise / length
