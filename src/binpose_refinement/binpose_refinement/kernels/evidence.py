# mypy: disable-error-code="no-untyped-def"
"""Counts, per hypothesis, the pixels that support and contradict it."""

import numpy as np
from numba import njit, prange

from binpose_refinement.kernels.algebra import outwards, rotated_normal

# Columns of a tally. Soft counts: a pixel near the limit of the tolerance counts partially.
RENDERED, AGREED, AGREED_HARD, VIOLATED, VIOLATED_CORE = 0, 1, 2, 3, 4
OCCLUDED, OCCLUDED_UNKNOWN, UNKNOWN, STOLEN = 5, 6, 7, 8
MASK_DRAWN, MASK_AGREED, MASK_IN_FRONT, MASK_DEPTH = 9, 10, 11, 12
NORMAL_SUM, NORMAL_COUNT, NORMAL_WRONG, SQUARES = 13, 14, 15, 16
STEP_BACK, CONTINUED, CONTOUR_UNDECIDED = 17, 18, 19
CONTOUR_EDGE, CONTOUR_COUNT, CREASE_EDGE, CREASE_COUNT, SMOOTH_EDGE, SMOOTH_COUNT = 20, 21, 22, 23, 24, 25
NEAR, FREE = 26, 27  # within CLEAR_M of the rendering, and more than CLEAR_M behind it
# Per SIDES directions of the contour normal: edges, points, steps back, continued surface.
FIRST_SIDE, SIDES, PER_SIDE = 28, 8, 4
TALLIES = FIRST_SIDE + SIDES * PER_SIDE

CLEAR_M = 0.005  # beyond the noise and the smear of every depth camera at arm's length
OUTWARDS_SQUARED_PX = 8  # a square of five by five
CONTOUR_STEP_PX = 2.5
SATURATED_GRADIENT = 12.0  # gray levels per pixel of a clear edge
GOOD_COSINE = 0.7
CREASE_COSINE = 0.85  # between the normals of neighbouring pixels


@njit(parallel=True, cache=True)
def tally_all(
    depth_r, faces_r, normals, first_face, T_cam_obj, windows, intrinsics, depth_o, normals_o, labels, edges, owner,
    tolerance, has_depth, tally, explained,
):  # fmt: skip
    """Fill tally (B, TALLIES) and explained (B, h, w) of renderings (B, h, w) in windows with integer steps."""
    for b in prange(depth_r.shape[0]):
        surface = np.zeros((depth_r.shape[1], depth_r.shape[2], 3), np.float32)
        _normals(depth_r[b], faces_r[b], normals, first_face[b], T_cam_obj[b], windows[b], intrinsics, surface)
        _tally(
            depth_r[b], surface, windows[b], intrinsics, depth_o, normals_o, labels, edges, owner[b], tolerance,
            has_depth, tally[b], explained[b],
        )  # fmt: skip


@njit
def _normals(depth, faces, normals, first, T, window, intrinsics, out):
    for v in range(depth.shape[0]):
        y = (window[1] + window[2] * v - intrinsics[3]) / intrinsics[1]
        for u in range(depth.shape[1]):
            if depth[v, u] > 0.0:
                x = (window[0] + window[2] * u - intrinsics[2]) / intrinsics[0]
                nx, ny, nz = rotated_normal(normals, first + faces[v, u], T, x, y, 1.0)
                out[v, u, 0], out[v, u, 1], out[v, u, 2] = nx, ny, nz


@njit
def _tally(
    depth_r, surface, window, intrinsics, depth_o, normals_o, labels, edges, owner, tolerance, has_depth, t, explained
):  # fmt: skip
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    for v in range(depth_r.shape[0]):
        row = v0 + step * v
        if row < 0 or row >= depth_o.shape[0]:
            continue
        y = (row - intrinsics[3]) / intrinsics[1]
        for u in range(depth_r.shape[1]):
            column = u0 + step * u
            if column < 0 or column >= depth_o.shape[1]:
                continue
            label, z, zo = labels[row, column], depth_r[v, u], depth_o[row, column]
            own = label == owner
            if own and zo > 0.0:
                t[MASK_DEPTH] += 1.0
            if z <= 0.0:
                continue
            t[RENDERED] += 1.0
            t[MASK_DRAWN] += own
            border = _on_border(depth_r, v, u)
            if border:
                _contour(depth_r, v, u, row, column, step, depth_o, labels, edges, owner, tolerance, t)
            elif label < 0 or own:
                _inner_edge(depth_r, surface, v, u, row, column, edges, tolerance, t)
            if zo <= 0.0:
                t[MASK_AGREED] += own
                t[UNKNOWN] += not own
                explained[v, u] = own and not has_depth
                continue
            t[NEAR] += abs(zo - z) <= CLEAR_M
            t[FREE] += zo - z > CLEAR_M
            x = (column - intrinsics[2]) / intrinsics[0]
            n = surface[v, u]
            slant = max(-(n[0] * x + n[1] * y + n[2]) / np.sqrt(x * x + y * y + 1.0), 0.2)
            d = (zo - z) * slant / tolerance
            _depth_pixel(d, n, normals_o[row, column], label, own, t)
            explained[v, u] = abs(d) < 1.0
            if d > 1.0 and not border and _all_behind(depth_o, row, column, z + tolerance / slant):
                t[VIOLATED_CORE] += min(d - 1.0, 1.0)


@njit
def _depth_pixel(d, n, observed, label, own, t):
    """Count a pixel with depth; d is the difference along the normal in tolerances, positive behind."""
    if abs(d) < 2.0:
        soft = min(1.0, 2.0 - abs(d))
        t[AGREED] += soft
        if own:
            t[MASK_AGREED] += soft
    if abs(d) < 1.0:
        t[AGREED_HARD] += 1.0
        t[SQUARES] += d * d
        t[STOLEN] += label >= 0 and not own
        if observed[2] != 0.0:
            cosine = n[0] * observed[0] + n[1] * observed[1] + n[2] * observed[2]
            t[NORMAL_SUM] += cosine
            t[NORMAL_COUNT] += 1.0
            t[NORMAL_WRONG] += cosine < GOOD_COSINE
    elif d > 1.0:
        t[VIOLATED] += min(d - 1.0, 1.0)
    elif own:
        t[MASK_IN_FRONT] += min(-d - 1.0, 1.0)
    else:
        t[OCCLUDED] += min(-d - 1.0, 1.0)
        if label < 0:
            t[OCCLUDED_UNKNOWN] += min(-d - 1.0, 1.0)


@njit
def _on_border(depth_r, v, u):
    height, width = depth_r.shape
    if v == 0 or u == 0 or v == height - 1 or u == width - 1:
        return True
    return depth_r[v - 1, u] <= 0.0 or depth_r[v + 1, u] <= 0.0 or depth_r[v, u - 1] <= 0.0 or depth_r[v, u + 1] <= 0.0


@njit
def _all_behind(depth_o, row, column, limit):
    """No measurement in the neighbourhood is nearer than the limit, so that a single noisy pixel does not count."""
    for r in range(max(0, row - 1), min(depth_o.shape[0], row + 2)):
        for c in range(max(0, column - 1), min(depth_o.shape[1], column + 2)):
            if 0.0 < depth_o[r, c] < limit:
                return False
    return True


@njit
def _inner_edge(depth_r, surface, v, u, row, column, edges, tolerance, t):
    """Image gradient where the rendering has a crease or a step, and where it has none."""
    gradient = np.sqrt(edges[row, column, 0] ** 2 + edges[row, column, 1] ** 2) / SATURATED_GRADIENT
    a, b, c = surface[v, u], surface[v, u + 1], surface[v + 1, u]
    step = max(abs(depth_r[v, u + 1] - depth_r[v, u]), abs(depth_r[v + 1, u] - depth_r[v, u])) > 2.0 * tolerance
    right = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    down = a[0] * c[0] + a[1] * c[1] + a[2] * c[2]
    if step or min(right, down) < CREASE_COSINE:
        t[CREASE_EDGE] += min(gradient, 1.0)
        t[CREASE_COUNT] += 1.0
    else:
        t[SMOOTH_EDGE] += min(gradient, 1.0)
        t[SMOOTH_COUNT] += 1.0


@njit
def _contour(depth_r, v, u, row, column, step, depth_o, labels, edges, owner, tolerance, t):
    """Classify what lies just outside of a silhouette pixel: a step back, the continued surface, or undecided."""
    gu, gv = outwards(depth_r, v, u, OUTWARDS_SQUARED_PX, True)
    if gu == 0.0 and gv == 0.0:
        return
    height, width = depth_o.shape
    edge = 0.0
    for k in range(-1, 2):
        r, c = int(np.round(row + k * gv)), int(np.round(column + k * gu))
        if 0 <= r < height and 0 <= c < width:
            edge = max(edge, abs(edges[r, c, 0] * gu + edges[r, c, 1] * gv))
    t[CONTOUR_EDGE] += min(edge / SATURATED_GRADIENT, 1.0)
    t[CONTOUR_COUNT] += 1.0
    reach = max(CONTOUR_STEP_PX, 1.5 * step)
    r, c = int(np.round(row + reach * gv)), int(np.round(column + reach * gu))
    verdict = CONTOUR_UNDECIDED
    if 0 <= r < height and 0 <= c < width:
        verdict = _beyond(
            depth_r, v, u, gv * reach / step, gu * reach / step, depth_o[row, column], depth_o[r, c],
            labels[r, c] == owner, tolerance,
        )  # fmt: skip
    t[verdict] += 1.0
    if 0.0 < depth_o[row, column] < depth_r[v, u] - 2.0 * tolerance:
        return  # occluded: no evidence about this side
    side = FIRST_SIDE + PER_SIDE * (int(np.floor((np.arctan2(gv, gu) / (2 * np.pi) + 1.0) * SIDES)) % SIDES)
    t[side] += min(edge / SATURATED_GRADIENT, 1.0)
    t[side + 1] += 1.0
    if verdict == STEP_BACK:
        t[side + 2] += 1.0
    elif verdict == CONTINUED:
        t[side + 3] += 1.0


@njit
def _beyond(depth_r, v, u, dv, du, here, outside, own_outside, tolerance):
    """The tally's column for the depth `outside` that is observed (dv, du) crop pixels beyond the silhouette pixel."""
    size, z = depth_r.shape[0], depth_r[v, u]
    rv, ru = int(np.round(v + dv)), int(np.round(u + du))
    if 0 <= rv < size and 0 <= ru < size and depth_r[rv, ru] > 0.0:
        return CONTOUR_UNDECIDED  # the part itself continues there
    if outside <= 0.0:
        return CONTINUED if own_outside else CONTOUR_UNDECIDED
    if 0.0 < here < z - 2.0 * tolerance:
        return CONTOUR_UNDECIDED  # the silhouette is occluded
    ahead = z
    iv, iu = int(np.round(v - dv)), int(np.round(u - du))
    if 0 <= iv < size and 0 <= iu < size and depth_r[iv, iu] > 0.0:
        limit = 3.0 * tolerance
        ahead = z + min(max(z - depth_r[iv, iu], -limit), limit)
    if outside > max(ahead, z) + 1.5 * tolerance:
        return STEP_BACK
    if abs(outside - ahead) <= 1.5 * tolerance or abs(outside - z) <= tolerance or own_outside:
        return CONTINUED
    return CONTOUR_UNDECIDED
