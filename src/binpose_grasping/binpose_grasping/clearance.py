"""Distances between the boxes of hands and points."""

import numba
import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.inside import BLOCK, block_spheres, meets_boxes


def clearance_m(
    T_hand_ref: FloatArray, low: FloatArray, high: FloatArray, points: FloatArray, farthest_m: float
) -> FloatArray:
    """(N,) distance in metres from the boxes of each hand to the nearest point, at most `farthest_m`.

    Args:
        T_hand_ref: (N, 4, 4) from the points' frame to the hands'.
        low: (N, B, 3) lower corners of the boxes in the hand's frame, metres.
        high: (N, B, 3) upper corners.
        points: (P, 3) in metres.
        farthest_m: larger distances are reported as this.
    """
    T, low, high, points = (np.ascontiguousarray(array, np.float64) for array in (T_hand_ref, low, high, points))
    return np.asarray(_clearance(T, low, high, points, block_spheres(points), farthest_m))


@numba.njit(cache=True, nogil=True)
def _clearance(T_hand_ref, low, high, points, spheres, farthest):  # type: ignore[no-untyped-def]
    found = np.empty(len(T_hand_ref))
    for n in range(len(T_hand_ref)):
        T, best = T_hand_ref[n], farthest * farthest
        for k in range(len(spheres)):
            slack = spheres[k, 3] + farthest
            if not meets_boxes(T, low[n], high[n], spheres[k, 0], spheres[k, 1], spheres[k, 2], slack):
                continue
            for p in range(k * BLOCK, min((k + 1) * BLOCK, len(points))):
                px, py, pz = points[p, 0], points[p, 1], points[p, 2]
                z = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
                x = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
                y = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
                for b in range(low.shape[1]):
                    dx = max(low[n, b, 0] - x, x - high[n, b, 0], 0.0)
                    dy = max(low[n, b, 1] - y, y - high[n, b, 1], 0.0)
                    dz = max(low[n, b, 2] - z, z - high[n, b, 2], 0.0)
                    best = min(best, dx * dx + dy * dy + dz * dz)
        found[n] = np.sqrt(best)
    return found
