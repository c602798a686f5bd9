# mypy: disable-error-code="no-untyped-def"
"""Comparison of poses modulo symmetries, and counts of claimed pixels."""

import numpy as np
from numba import njit, prange


@njit(parallel=True, cache=True)
def mark_distinct(order, bounds, part, T_cam_obj, points, motions, first, limit_m, keep, chosen):
    """Mark in chosen (B,) the first `keep` distinct poses of each group bounds[g]..bounds[g + 1] of `order`."""
    for group in prange(len(bounds) - 1):
        kept = np.empty(keep, np.int64)
        count = 0
        for i in range(bounds[group], bounds[group + 1]):
            if count == keep:
                break
            a = order[i]
            new = True
            for k in range(count):
                if part[kept[k]] == part[a]:
                    p = part[a]
                    distance = _distance(
                        T_cam_obj[a], T_cam_obj[kept[k]], points[p], motions[first[p] : first[p + 1]], limit_m[p]
                    )
                    if distance < limit_m[p]:
                        new = False
                        break
            if new:
                chosen[i] = True
                kept[count] = a
                count += 1


@njit(parallel=True, cache=True)
def mark_rivals(order, bounds, part, T_cam_obj, points, motions, first, limit_m, apart):
    """Mark in apart (B, B), at [lower, higher index], the pairs of each group that differ by the limit or in part."""
    for group in prange(len(bounds) - 1):
        for i in range(bounds[group], bounds[group + 1]):
            for k in range(i + 1, bounds[group + 1]):
                a, b = min(order[i], order[k]), max(order[i], order[k])
                p = part[a]
                if p != part[b]:
                    apart[a, b] = True
                else:
                    turns = motions[first[p] : first[p + 1]]
                    distance = _distance(T_cam_obj[a], T_cam_obj[b], points[p], turns, limit_m[p])
                    apart[a, b] = distance >= limit_m[p]


@njit
def _distance(T_a, T_b, points, motions, limit):
    """Mean distance of the points under two poses, minimised over the symmetry motions."""
    best = 1e9
    for s in range(motions.shape[0]):
        T = T_b @ motions[s]
        total = 0.0
        for k in range(points.shape[0]):
            square = 0.0
            for i in range(3):
                d = T_a[i, 3] - T[i, 3]
                for j in range(3):
                    d += (T_a[i, j] - T[i, j]) * points[k, j]
                square += d * d
            total += np.sqrt(square)
        best = min(best, total / points.shape[0])
        if best < limit:
            break
    return best


@njit(cache=True)
def visit_pixels(taken, explained, window, mark):
    """Count the taken pixels of a crop, and all its pixels; with `mark`, mark them and the gaps between them."""
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    hits = total = 0
    for v in range(explained.shape[0]):
        for u in range(explained.shape[1]):
            row, column = v0 + step * v, u0 + step * u
            if explained[v, u] == 0 or row < 0 or column < 0 or row >= taken.shape[0] or column >= taken.shape[1]:
                continue
            total += 1
            hits += taken[row, column]
            if mark:
                taken[row : row + step, column : column + step] = True
    return hits, total
