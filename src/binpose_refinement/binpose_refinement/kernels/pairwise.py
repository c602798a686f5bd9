# mypy: disable-error-code="no-untyped-def"
"""Costs of two renderings on the pixels where they differ."""

from numba import njit, prange

UNKNOWN = 0.4  # cost of a rendered pixel without depth; an agreeing one costs 0, a contradicted one 1
ELSEWHERE = 0.2  # cost of a pixel of another detection where nothing is rendered, or where it occludes the rendering
SAME_M = 0.5  # of the tolerance: renderings closer than this agree


@njit(parallel=True, cache=True)
def compare_pairs(pairs, depth_r, windows, owner, depth_o, labels, tolerance, costs):
    """Fill costs (P, 3) = cost of the first, of the second, and number of differing pixels, for pairs (P, 2)."""
    for p in prange(len(pairs)):
        i, j = pairs[p, 0], pairs[p, 1]
        _compare_one(
            depth_r[i], depth_r[j], windows[i], windows[j], owner[i], depth_o, labels, tolerance, True, costs[p]
        )
        _compare_one(
            depth_r[j], depth_r[i], windows[j], windows[i], owner[i], depth_o, labels, tolerance, False, costs[p]
        )


@njit
def _compare_one(depth_a, depth_b, window_a, window_b, owner, depth_o, labels, tolerance, first, costs):
    """Add the costs on a's pixels; the second call, with the roles swapped, adds only pixels that a does not cover."""
    step_a, step_b = int(window_a[2]), int(window_b[2])
    for v in range(depth_a.shape[0]):
        row = int(window_a[1]) + step_a * v
        if row < 0 or row >= depth_o.shape[0]:
            continue
        vb = (row - int(window_b[1])) // step_b
        for u in range(depth_a.shape[1]):
            column = int(window_a[0]) + step_a * u
            za = depth_a[v, u]
            if za <= 0.0 or column < 0 or column >= depth_o.shape[1]:
                continue
            ub = (column - int(window_b[0])) // step_b
            zb = 0.0
            if 0 <= vb < depth_b.shape[0] and 0 <= ub < depth_b.shape[1]:
                zb = depth_b[vb, ub]
            if (zb > 0.0 and not first) or (zb > 0.0 and abs(za - zb) < SAME_M * tolerance):
                continue
            own, zo = labels[row, column] == owner, depth_o[row, column]
            ca, cb = _cost(za, zo, own, tolerance), _cost(zb, zo, own, tolerance)
            area = step_a * step_a
            costs[0 if first else 1] += ca * area
            costs[1 if first else 0] += cb * area
            costs[2] += (0.2 + abs(ca - cb)) * area


@njit
def _cost(z, zo, own, tolerance):
    """0 where the pixel agrees with the pose, 1 where it contradicts it."""
    if z <= 0.0:
        return 1.0 if own else ELSEWHERE
    if zo <= 0.0:
        return 0.2 if own else UNKNOWN
    d = (zo - z) / tolerance
    if d < -2.0 and not own:
        return ELSEWHERE
    return min(0.25 * d * d, 1.0)
