"""Counts points inside the boxes of hands, for all collision checks of this package."""

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray


def count_inside(
    T_hand_ref: FloatArray, low: FloatArray, high: FloatArray, points: FloatArray, most: int = 1
) -> npt.NDArray[np.int64]:
    """Number of points in the boxes of each hand, counted up to `most`.

    Args:
        T_hand_ref: (N, 4, 4) from the points' frame to the hands'.
        low: (N, B, 3) lower corners of the boxes in the hand's frame, metres.
        high: (N, B, 3) upper corners.
        points: (P, 3) in metres.
        most: largest count.

    Returns:
        (N,) int64, at most `most`; a point in two boxes counts once.
    """
    T, low, high, points = (np.ascontiguousarray(array, np.float64) for array in (T_hand_ref, low, high, points))
    return np.asarray(_count(T, low, high, points, most))


@numba.njit(cache=True, nogil=True)
def _count(T_hand_ref, low, high, points, most):  # type: ignore[no-untyped-def]
    counts = np.zeros(len(T_hand_ref), np.int64)
    for n in range(len(T_hand_ref)):
        T = T_hand_ref[n]
        floor, ceiling = low[n, :, 2].min(), high[n, :, 2].max()
        for p in range(len(points)):
            px, py, pz = points[p, 0], points[p, 1], points[p, 2]
            z = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
            if z < floor or z > ceiling:  # most points of a scene are below the finger tips
                continue
            x = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
            y = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
            for b in range(low.shape[1]):
                if (
                    low[n, b, 0] <= x <= high[n, b, 0]
                    and low[n, b, 1] <= y <= high[n, b, 1]
                    and low[n, b, 2] <= z <= high[n, b, 2]
                ):
                    counts[n] += 1
                    break
            if counts[n] >= most:
                break
    return counts
