# mypy: disable-error-code="no-untyped-def"
"""Comparison of poses modulo symmetries, and pixels that two poses explain."""

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


@njit(parallel=True, cache=True)
def explained_boxes(explained, windows, boxes, totals):
    """Fill boxes (B, 4) with u0, v0, u1, v1 (ends excluded) of the agreeing pixels in the frame, and totals (B,).

    A crop pixel covers a block of step x step frame pixels. Boxes without pixels are empty.
    """
    for b in prange(explained.shape[0]):
        u_first, v_first, step = int(windows[b, 0]), int(windows[b, 1]), int(windows[b, 2])
        u0 = v0 = 1 << 30
        u1 = v1 = -(1 << 30)
        total = 0
        for v in range(explained.shape[1]):
            for u in range(explained.shape[2]):
                if explained[b, v, u]:
                    total += 1
                    u0, u1 = min(u0, u_first + step * u), max(u1, u_first + step * (u + 1))
                    v0, v1 = min(v0, v_first + step * v), max(v1, v_first + step * (v + 1))
        boxes[b, 0], boxes[b, 1], boxes[b, 2], boxes[b, 3] = u0, v0, u1, v1
        totals[b] = total


@njit(parallel=True, cache=True)
def overlap_fractions(explained, windows, boxes, totals, pairs, fractions):
    """Fill fractions (P,): the larger fraction of one hypothesis' agreeing pixels that the pair has in common."""
    for p in prange(pairs.shape[0]):
        a, b = pairs[p, 0], pairs[p, 1]
        if totals[a] == 0 or totals[b] == 0:
            fractions[p] = 0.0
            continue
        common_a = _common(explained[a], windows[a], explained[b], windows[b], boxes[b])
        common_b = _common(explained[b], windows[b], explained[a], windows[a], boxes[a])
        fractions[p] = max(common_a / totals[a], common_b / totals[b])


@njit
def _common(one, window, other, other_window, other_box):
    """How many agreeing pixels of a crop lie on agreeing pixels of another one."""
    u_first, v_first, step = int(window[0]), int(window[1]), int(window[2])
    u_other, v_other, other_step = int(other_window[0]), int(other_window[1]), int(other_window[2])
    low_u = max(0, (other_box[0] - u_first) // step)
    high_u = min(one.shape[1], (other_box[2] - u_first + step - 1) // step)
    low_v = max(0, (other_box[1] - v_first) // step)
    high_v = min(one.shape[0], (other_box[3] - v_first + step - 1) // step)
    count = 0
    for v in range(low_v, high_v):
        row = v_first + step * v - v_other
        if row < 0 or row // other_step >= other.shape[0]:
            continue
        for u in range(low_u, high_u):
            column = u_first + step * u - u_other
            if one[v, u] == 0 or column < 0 or column // other_step >= other.shape[1]:
                continue
            count += other[row // other_step, column // other_step]
    return count
