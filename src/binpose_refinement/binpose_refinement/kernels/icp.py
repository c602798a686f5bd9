# mypy: disable-error-code="no-untyped-def"
"""One round of ICP for every hypothesis: score the rendering, pair points with it, take steps."""

import numpy as np
from numba import njit, prange

from binpose_refinement.kernels.algebra import rotated_normal, rotation_of, solve_spd

SEARCH = 2  # the neighbourhood has up to (2 * SEARCH + 1)^2 rendered points, `stride` pixels apart
DENSE_PX = 400  # masks with more pixels in the crop are thinned to every second one
NORMAL_GATE = 0.4  # cosine between observed and rendered normal below which points do not belong together
OTHER_LABEL_WEIGHT = 0.35  # weight of pixels that another detection covers: masks are not exact
NO_LABEL_WEIGHT = 0.7
SILHOUETTE_WEIGHT = 0.5


@njit(parallel=True, cache=True)
def icp_round(
    depth_r, faces_r, normals, first_face, T_cam_obj, centers, diameter, windows, intrinsics, depth_o, normals_o,
    labels, owner, mask_px, gate, stride, reach, point_share, tolerance, steps, score, T_out, information,
):  # fmt: skip
    """One rendering: score the pose (B,), then write the pose after `steps` Gauss-Newton steps to T_out (B, 4, 4)."""
    for b in prange(depth_r.shape[0]):
        _one_round(
            depth_r[b], faces_r[b], normals, first_face[b], T_cam_obj[b], centers[b], diameter[b], windows[b],
            intrinsics,
            depth_o, normals_o, labels, owner[b], mask_px[b], gate[b], stride[b], reach[b], point_share, tolerance,
            steps, score[b : b + 1], T_out[b], information[b],
        )  # fmt: skip


@njit
def _one_round(
    depth_r, faces_r, normals, first_face, T_cam_obj, center_obj, diameter, window, intrinsics, depth_o, normals_o,
    labels, owner, mask_px, gate, stride, reach, point_share, tolerance, steps, score, T_out, information,
):  # fmt: skip
    size = depth_r.shape[0]
    surface = np.empty((size, size, 6), np.float32)
    _surface(depth_r, faces_r, normals, first_face, T_cam_obj, window, intrinsics, surface)
    score[0] = _agreement(depth_r, surface, window, depth_o, normals_o, labels, owner, mask_px, tolerance)
    T_out[:] = T_cam_obj
    information[:] = 0.0
    if steps == 0:
        return
    pairs = np.empty((size * size, 11), np.float32)
    count = _associate(
        depth_r, surface, window, intrinsics, depth_o, normals_o, labels, owner, gate, stride, reach,
        mask_px > DENSE_PX, pairs,
    )  # fmt: skip
    if count < 6:
        return
    center = np.empty(3)
    _rotate(T_cam_obj, center_obj[0], center_obj[1], center_obj[2], center)
    for i in range(3):
        center[i] += T_cam_obj[i, 3]
    _step(pairs, count, center, 0.4 * diameter, gate, point_share, steps, T_out, information)


@njit
def _surface(depth, faces, normals, first, T, window, intrinsics, out):
    """Rendered points and their normals (h, w, 6) in the camera frame."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = depth[v, u]
            if z <= 0.0:
                continue
            x = (window[0] + window[2] * u - cx) / fx * z
            y = (window[1] + window[2] * v - cy) / fy * z
            nx, ny, nz = rotated_normal(normals, first + faces[v, u], T, x, y, z)
            out[v, u, 0], out[v, u, 1], out[v, u, 2] = x, y, z
            out[v, u, 3], out[v, u, 4], out[v, u, 5] = nx, ny, nz


@njit
def _agreement(depth_r, surface, window, depth_o, normals_o, labels, owner, mask_px, tolerance):
    """Agreement of the pose with the frame: explained / (explained + violated + unexplained mask)."""
    explained = violated = missed = seen = 0.0
    for v in range(depth_r.shape[0]):
        row = int(np.floor(window[1] + window[2] * v + 0.5))
        if row < 0 or row >= depth_o.shape[0]:
            continue
        for u in range(depth_r.shape[1]):
            column = int(np.floor(window[0] + window[2] * u + 0.5))
            if column < 0 or column >= depth_o.shape[1]:
                continue
            own = labels[row, column] == owner
            seen += own
            z, zo = depth_r[v, u], depth_o[row, column]
            if z <= 0.0:
                if own:
                    missed += 1.0
                continue
            if zo <= 0.0:
                if own:
                    explained += 0.5
                elif labels[row, column] < 0:
                    violated += 0.25
                continue
            d = (zo - z) * max(-surface[v, u, 5], 0.3) / tolerance
            if abs(d) < 2.0:
                close = min(1.0, 2.0 - abs(d))
                cosine = (
                    surface[v, u, 3] * normals_o[row, column, 0]
                    + surface[v, u, 4] * normals_o[row, column, 1]
                    + surface[v, u, 5] * normals_o[row, column, 2]
                )
                known = normals_o[row, column, 2] != 0.0
                fit = close * (0.3 + 0.7 * max(cosine, 0.0) if known else 0.6)
                explained += fit if own else 0.6 * fit
                missed += close - fit if own else 0.0
                if d > 1.0:
                    violated += d - 1.0
                elif own and d < -1.0:
                    missed += -d - 1.0
            elif d > 0.0:
                violated += 1.0
            elif own:
                missed += 1.0
    missed += max(0.0, mask_px - seen)  # mask beyond the window
    return explained / (explained + violated + missed + 10.0)


@njit
def _associate(
    depth_r, surface, window, intrinsics, depth_o, normals_o, labels, owner, gate, stride, reach, thin, pairs
):
    """Fill pairs (N, 11) = observed point, rendered point, its normal, weight, kind (0 surface, 1 silhouette)."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    size, count = depth_r.shape[0], 0
    for v in range(size):
        row = int(np.floor(window[1] + window[2] * v + 0.5))
        if row < 0 or row >= depth_o.shape[0]:
            continue
        for u in range(size):
            column = int(np.floor(window[0] + window[2] * u + 0.5))
            if column < 0 or column >= depth_o.shape[1]:
                continue
            label = labels[row, column]
            z, zo = depth_r[v, u], depth_o[row, column]
            if zo > 0.0 and thin and (u + v) % 2:
                continue
            if zo > 0.0 and (label == owner or (z > 0.0 and abs(zo - z) < gate)):
                x, y = (column - cx) / fx * zo, (row - cy) / fy * zo
                nx, ny, nz = normals_o[row, column, 0], normals_o[row, column, 1], normals_o[row, column, 2]
                best, best_v, best_u = gate * gate, -1, -1
                for i in range(-reach, reach + 1):
                    rv = v + i * stride
                    if rv < 0 or rv >= size:
                        continue
                    for j in range(-reach, reach + 1):
                        ru = u + j * stride
                        if ru < 0 or ru >= size or depth_r[rv, ru] <= 0.0:
                            continue
                        dx, dy, dz = surface[rv, ru, 0] - x, surface[rv, ru, 1] - y, surface[rv, ru, 2] - zo
                        d = dx * dx + dy * dy + dz * dz
                        if d < best:
                            cosine = nx * surface[rv, ru, 3] + ny * surface[rv, ru, 4] + nz * surface[rv, ru, 5]
                            if nz == 0.0 or cosine > NORMAL_GATE:
                                best, best_v, best_u = d, rv, ru
                if best_v >= 0:
                    weight = 1.0 if label == owner else (NO_LABEL_WEIGHT if label < 0 else OTHER_LABEL_WEIGHT)
                    _write(pairs, count, x, y, zo, surface[best_v, best_u], weight, 0.0)
                    count += 1
            elif zo <= 0.0 and label == owner and z <= 0.0:
                rv, ru = _nearest_rendered(depth_r, v, u, stride)
                if rv >= 0:
                    zq = surface[rv, ru, 2]
                    _write(pairs, count, (column - cx) / fx * zq, (row - cy) / fy * zq, zq, surface[rv, ru], 1.0, 1.0)
                    count += 1
            elif z > 0.0 and label != owner and (zo > z + gate or (zo <= 0.0 and label < 0)):
                tv, tu = _nearest_own(labels, owner, window, v, u, size, stride)
                if tv >= 0:
                    x = (window[0] + window[2] * tu - cx) / fx * z
                    y = (window[1] + window[2] * tv - cy) / fy * z
                    _write(pairs, count, x, y, z, surface[v, u], 0.5, 1.0)
                    count += 1
    return count


@njit
def _nearest_rendered(depth_r, v, u, stride):
    """The rendered pixel of the neighbourhood that is nearest in the image, or (-1, -1)."""
    size, reach = depth_r.shape[0], SEARCH * stride
    best, best_v, best_u = (reach + 1) ** 2, -1, -1
    for rv in range(max(0, v - reach), min(size - 1, v + reach) + 1):
        for ru in range(max(0, u - reach), min(size - 1, u + reach) + 1):
            d = (rv - v) ** 2 + (ru - u) ** 2
            if d < best and depth_r[rv, ru] > 0.0:
                best, best_v, best_u = d, rv, ru
    return best_v, best_u


@njit
def _nearest_own(labels, owner, window, v, u, size, stride):
    """The nearest crop pixel of the neighbourhood inside the hypothesis' own mask, or (-1, -1)."""
    reach = SEARCH * stride
    best, best_v, best_u = (reach + 1) ** 2, -1, -1
    for tv in range(max(0, v - reach), min(size - 1, v + reach) + 1):
        row = int(np.floor(window[1] + window[2] * tv + 0.5))
        if row < 0 or row >= labels.shape[0]:
            continue
        for tu in range(max(0, u - reach), min(size - 1, u + reach) + 1):
            column = int(np.floor(window[0] + window[2] * tu + 0.5))
            d = (tv - v) ** 2 + (tu - u) ** 2
            if d < best and 0 <= column < labels.shape[1] and labels[row, column] == owner:
                best, best_v, best_u = d, tv, tu
    return best_v, best_u


@njit
def _write(pairs, at, x, y, z, point, weight, kind):
    pairs[at, 0], pairs[at, 1], pairs[at, 2] = x, y, z
    for i in range(6):
        pairs[at, 3 + i] = point[i]
    pairs[at, 9], pairs[at, 10] = weight, kind


@njit
def _step(pairs, count, center, radius, gate, point_share, steps, T, information):
    """Gauss-Newton on the pairs; updates T (4, 4) in place; information (6, 6) is that of the last step."""
    move, turn, g, x = np.zeros((3, 4)), np.empty((3, 3)), np.empty(6), np.empty(6)
    H, a, scale2 = np.empty((6, 6)), np.empty(3), (0.5 * gate) ** 2
    for i in range(3):
        move[i, i] = 1.0
    for _ in range(steps):
        for i in range(6):
            g[i] = 0.0
            for j in range(6):
                H[i, j] = 0.0
        for k in range(count):
            pair = pairs[k]
            _rotate(move, pair[3] - center[0], pair[4] - center[1], pair[5] - center[2], a)
            ex = pair[0] - center[0] - a[0] - move[0, 3]
            ey = pair[1] - center[1] - a[1] - move[1, 3]
            ez = pair[2] - center[2] - a[2] - move[2, 3]
            if pair[10] == 0.0:
                _add_surface(H, g, x, pair, ex, ey, ez, a, move, scale2, point_share)
            else:
                _add_silhouette(H, g, x, pair, ex, ey, ez, a, scale2)
        for i in range(6):
            for j in range(i + 1):
                information[i, j] = information[j, i] = H[j, i] = H[i, j]
        damping = 1e-3 * (H[0, 0] + H[1, 1] + H[2, 2]) / 3.0 + 1e-9
        for i in range(3):
            H[i, i] += damping
            H[3 + i, 3 + i] += damping * radius * radius
        if not solve_spd(H, g, x):
            return
        rotation_of(x[3], x[4], x[5], turn)
        # Points move as center + R (q - center) + t, so the rotation acts on the rotated arm and not on t.
        for j in range(3):
            p, q, r = move[0, j], move[1, j], move[2, j]
            _rotate(turn, p, q, r, a)
            move[0, j], move[1, j], move[2, j] = a[0], a[1], a[2]
            move[j, 3] += x[j]
    for i in range(3):
        T[i, 3] -= center[i]
    for j in range(4):
        _rotate(move, T[0, j], T[1, j], T[2, j], a)
        T[0, j], T[1, j], T[2, j] = a[0], a[1], a[2]
    for i in range(3):
        T[i, 3] += center[i] + move[i, 3]


@njit
def _rotate(R, x, y, z, out):
    for i in range(3):
        out[i] = R[i, 0] * x + R[i, 1] * y + R[i, 2] * z


@njit
def _add_surface(H, g, J, pair, ex, ey, ez, a, move, scale2, point_share):
    """Add a pair with difference (ex, ey, ez): point-to-plane, and a small weight of point-to-point."""
    nx = move[0, 0] * pair[6] + move[0, 1] * pair[7] + move[0, 2] * pair[8]
    ny = move[1, 0] * pair[6] + move[1, 1] * pair[7] + move[1, 2] * pair[8]
    nz = move[2, 0] * pair[6] + move[2, 1] * pair[7] + move[2, 2] * pair[8]
    r = nx * ex + ny * ey + nz * ez
    w = pair[9] / (1.0 + r * r / scale2) ** 2
    _add_row(H, g, J, nx, ny, nz, r, w, a)
    # The same for the three axes in place of the normal, combined: most of their products are zero.
    w *= point_share
    ax, ay, az = a[0], a[1], a[2]
    g[0] += w * ex
    g[1] += w * ey
    g[2] += w * ez
    g[3] += w * (ay * ez - az * ey)
    g[4] += w * (az * ex - ax * ez)
    g[5] += w * (ax * ey - ay * ex)
    for i in range(3):
        H[i, i] += w
    H[3, 1] -= w * az
    H[3, 2] += w * ay
    H[4, 0] += w * az
    H[4, 2] -= w * ax
    H[5, 0] -= w * ay
    H[5, 1] += w * ax
    H[3, 3] += w * (ay * ay + az * az)
    H[4, 3] -= w * ax * ay
    H[4, 4] += w * (ax * ax + az * az)
    H[5, 3] -= w * ax * az
    H[5, 4] -= w * ay * az
    H[5, 5] += w * (ax * ax + ay * ay)


@njit
def _add_silhouette(H, g, J, pair, ex, ey, ez, a, scale2):
    """Add a pair whose point should move onto the pixel's ray: two point-to-plane equations."""
    px, py = pair[0] / pair[2], pair[1] / pair[2]
    rx, ry = ex - px * ez, ey - py * ez
    w = SILHOUETTE_WEIGHT * pair[9] / (1.0 + (rx * rx + ry * ry) / scale2)
    _add_row(H, g, J, 1.0, 0.0, -px, rx, w, a)
    _add_row(H, g, J, 0.0, 1.0, -py, ry, w, a)


@njit
def _add_row(H, g, J, nx, ny, nz, residual, weight, a):
    """Add the equation n . (t + w x a) = residual to the lower half of H (6, 6) and to g (6,); J (6,) is scratch."""
    J[0], J[1], J[2] = nx, ny, nz
    J[3], J[4], J[5] = a[1] * nz - a[2] * ny, a[2] * nx - a[0] * nz, a[0] * ny - a[1] * nx
    for i in range(6):
        scaled = weight * J[i]
        g[i] += scaled * residual
        for j in range(i + 1):
            H[i, j] += scaled * J[j]
