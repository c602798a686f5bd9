"""Counts points inside the boxes of hands, for all collision checks of this package."""

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray

BLOCK = 32
"""Number of consecutive points with one bounding sphere, which most hands miss as a whole."""


def count_inside(
    T_hand_ref: FloatArray, low: FloatArray, high: FloatArray, points: FloatArray, most: int = 1
) -> npt.NDArray[np.int64]:
    """Number of points in the boxes of each hand, counted up to `most`.

    It is fastest for points whose neighbours in the array are neighbours in space.

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
    return np.asarray(_count(T, low, high, points, block_spheres(points), most))


@numba.njit(cache=True, nogil=True)
def block_spheres(points):  # type: ignore[no-untyped-def]
    """(K, 4) centre and radius of a sphere about each block of points (P, 3)."""
    count = (len(points) + BLOCK - 1) // BLOCK
    spheres = np.zeros((count, 4))
    for k in range(count):
        first, last = k * BLOCK, min((k + 1) * BLOCK, len(points))
        for p in range(first, last):
            for i in range(3):
                spheres[k, i] += points[p, i] / (last - first)
        for p in range(first, last):
            x, y, z = points[p, 0] - spheres[k, 0], points[p, 1] - spheres[k, 1], points[p, 2] - spheres[k, 2]
            spheres[k, 3] = max(spheres[k, 3], x * x + y * y + z * z)
        spheres[k, 3] = np.sqrt(spheres[k, 3]) + 1e-9
    return spheres


@numba.njit(cache=True, nogil=True, inline="always")
def meets_boxes(T, low, high, px, py, pz, slack):  # type: ignore[no-untyped-def]
    """Whether a point is in a box of one hand, each larger by `slack` on all sides."""
    z = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
    x = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
    y = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
    for b in range(len(low)):
        if (
            low[b, 2] - slack <= z <= high[b, 2] + slack
            and low[b, 0] - slack <= x <= high[b, 0] + slack
            and low[b, 1] - slack <= y <= high[b, 1] + slack
        ):
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _count(T_hand_ref, low, high, points, spheres, most):  # type: ignore[no-untyped-def]
    counts = np.zeros(len(T_hand_ref), np.int64)
    for n in range(len(T_hand_ref)):
        T, a, b = T_hand_ref[n], low[n], high[n]
        for k in range(len(spheres)):
            if not meets_boxes(T, a, b, spheres[k, 0], spheres[k, 1], spheres[k, 2], spheres[k, 3]):
                continue
            for p in range(k * BLOCK, min((k + 1) * BLOCK, len(points))):
                counts[n] += meets_boxes(T, a, b, points[p, 0], points[p, 1], points[p, 2], 0.0)
                if counts[n] >= most:
                    break
            if counts[n] >= most:
                break
    return counts
