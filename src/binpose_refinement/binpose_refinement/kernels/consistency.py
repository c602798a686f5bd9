# mypy: disable-error-code="no-untyped-def"
"""Counts, per pose, the pixels where the depth confirms, contradicts or occludes it."""

from numba import njit, prange

AGREEING, FREE, OCCLUDED = 0, 1, 2
COUNTS = 3


@njit(parallel=True, cache=True)
def count_depth(depth_r, windows, depth_o, tolerance, counts):
    """Fill counts (B, COUNTS) of renderings (B, h, w) in windows (B, 3) with integer steps; 0 = no depth."""
    for b in prange(depth_r.shape[0]):
        u0, v0, step = int(windows[b, 0]), int(windows[b, 1]), int(windows[b, 2])
        for v in range(depth_r.shape[1]):
            row = v0 + step * v
            if row < 0 or row >= depth_o.shape[0]:
                continue
            for u in range(depth_r.shape[2]):
                column = u0 + step * u
                if column < 0 or column >= depth_o.shape[1]:
                    continue
                rendered, observed = depth_r[b, v, u], depth_o[row, column]
                if rendered <= 0.0 or observed <= 0.0:
                    continue
                gap = observed - rendered
                counts[b, FREE if gap > tolerance else OCCLUDED if gap < -tolerance else AGREEING] += 1
