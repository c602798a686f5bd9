"""Exact overlaps of the boxes of hands with triangles and other boxes (separating axis theorem).

Gottschalk, Lin and Manocha, OBBTree, 1996; Akenine-Moeller, Fast 3D triangle-box overlap testing, 2001.
"""

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray


def boxes_touch_mesh(
    T_hand_mesh: FloatArray, low: FloatArray, high: FloatArray, corners: FloatArray
) -> npt.NDArray[np.bool_]:
    """(N,) whether any box of a hand overlaps a triangle.

    Args:
        T_hand_mesh: (N, 4, 4) from the triangles' frame to the hands'.
        low: (N, B, 3) lower corners of the boxes in the hand's frame, metres.
        high: (N, B, 3) upper corners.
        corners: (F, 3, 3) of the triangles, metres.
    """
    T, low, high, corners = (np.ascontiguousarray(a, np.float64) for a in (T_hand_mesh, low, high, corners))
    return np.asarray(_touch_mesh(T, low, high, corners))


def boxes_touch_boxes(
    T_hand_ref: FloatArray, low: FloatArray, high: FloatArray, T_ref_box: FloatArray, half_m: FloatArray
) -> npt.NDArray[np.bool_]:
    """(N,) whether any box of a hand overlaps an obstacle.

    Args:
        T_hand_ref: (N, 4, 4) from the obstacles' frame to the hands'.
        low: (N, B, 3) lower corners of the boxes in the hand's frame, metres.
        high: (N, B, 3) upper corners.
        T_ref_box: (K, 4, 4) of the obstacles' centres and axes.
        half_m: (K, 3) half sides of the obstacles.
    """
    arrays = (T_hand_ref, low, high, T_ref_box, half_m)
    T, low, high, obstacles, half_m = (np.ascontiguousarray(a, np.float64) for a in arrays)
    return np.asarray(_touch_boxes(T, low, high, obstacles, half_m))


@numba.njit(cache=True)
def _axis_separates(axis, triangle, half):  # type: ignore[no-untyped-def]
    reach = half[0] * abs(axis[0]) + half[1] * abs(axis[1]) + half[2] * abs(axis[2])
    a = axis[0] * triangle[0, 0] + axis[1] * triangle[0, 1] + axis[2] * triangle[0, 2]
    b = axis[0] * triangle[1, 0] + axis[1] * triangle[1, 1] + axis[2] * triangle[1, 2]
    c = axis[0] * triangle[2, 0] + axis[1] * triangle[2, 1] + axis[2] * triangle[2, 2]
    return min(a, b, c) > reach or max(a, b, c) < -reach


@numba.njit(cache=True)
def _triangle_in_box(triangle, low, high, work, axis):  # type: ignore[no-untyped-def]
    """Whether a triangle (3, 3) overlaps an axis-aligned box; `work` (4, 3) and `axis` (3,) are overwritten."""
    half = work[3]
    for k in range(3):
        if (
            min(triangle[0, k], triangle[1, k], triangle[2, k]) > high[k]
            or max(triangle[0, k], triangle[1, k], triangle[2, k]) < low[k]
        ):
            return False
    for k in range(3):
        half[k] = (high[k] - low[k]) / 2
        for corner in range(3):
            work[corner, k] = triangle[corner, k] - (high[k] + low[k]) / 2
    for side in range(3):
        start, end = side, (side + 1) % 3
        x, y, z = work[end, 0] - work[start, 0], work[end, 1] - work[start, 1], work[end, 2] - work[start, 2]
        axis[0], axis[1], axis[2] = 0.0, -z, y
        if _axis_separates(axis, work, half):
            return False
        axis[0], axis[1], axis[2] = z, 0.0, -x
        if _axis_separates(axis, work, half):
            return False
        axis[0], axis[1], axis[2] = -y, x, 0.0
        if _axis_separates(axis, work, half):
            return False
    a0, a1, a2 = work[1, 0] - work[0, 0], work[1, 1] - work[0, 1], work[1, 2] - work[0, 2]
    b0, b1, b2 = work[2, 0] - work[0, 0], work[2, 1] - work[0, 1], work[2, 2] - work[0, 2]
    axis[0], axis[1], axis[2] = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0
    return not _axis_separates(axis, work, half)


@numba.njit(cache=True, nogil=True)
def _touch_mesh(T_hand_mesh, low, high, corners):  # type: ignore[no-untyped-def]
    touched = np.zeros(len(T_hand_mesh), np.bool_)
    triangle, work, axis = np.empty((3, 3)), np.empty((4, 3)), np.empty(3)
    middle, radius = np.empty((len(corners), 3)), np.empty(len(corners))
    for f in range(len(corners)):
        radius[f] = 0.0
        for k in range(3):
            middle[f, k] = (corners[f, 0, k] + corners[f, 1, k] + corners[f, 2, k]) / 3
        for c in range(3):
            far = 0.0
            for k in range(3):
                far += (corners[f, c, k] - middle[f, k]) ** 2
            radius[f] = max(radius[f], np.sqrt(far))
    for n in range(len(T_hand_mesh)):
        T = T_hand_mesh[n]
        for f in range(len(corners)):
            near = False
            r = radius[f]
            x = T[0, 0] * middle[f, 0] + T[0, 1] * middle[f, 1] + T[0, 2] * middle[f, 2] + T[0, 3]
            y = T[1, 0] * middle[f, 0] + T[1, 1] * middle[f, 1] + T[1, 2] * middle[f, 2] + T[1, 3]
            z = T[2, 0] * middle[f, 0] + T[2, 1] * middle[f, 1] + T[2, 2] * middle[f, 2] + T[2, 3]
            for b in range(low.shape[1]):
                if (
                    low[n, b, 2] - r <= z <= high[n, b, 2] + r
                    and low[n, b, 0] - r <= x <= high[n, b, 0] + r
                    and low[n, b, 1] - r <= y <= high[n, b, 1] + r
                ):
                    if not near:
                        near = True
                        for c in range(3):
                            for k in range(3):
                                triangle[c, k] = (
                                    T[k, 0] * corners[f, c, 0]
                                    + T[k, 1] * corners[f, c, 1]
                                    + T[k, 2] * corners[f, c, 2]
                                    + T[k, 3]
                                )
                    if _triangle_in_box(triangle, low[n, b], high[n, b], work, axis):
                        touched[n] = True
                        break
            if touched[n]:
                break
    return touched


@numba.njit(cache=True)
def _boxes_overlap(R, t, half_a, half_b):  # type: ignore[no-untyped-def]
    """Boxes about the origin and about t, the second one with the axes R (3, 3)."""
    for i in range(3):
        if abs(t[i]) > half_a[i] + half_b[0] * abs(R[i, 0]) + half_b[1] * abs(R[i, 1]) + half_b[2] * abs(R[i, 2]):
            return False
    for j in range(3):
        along = t[0] * R[0, j] + t[1] * R[1, j] + t[2] * R[2, j]
        reach = half_a[0] * abs(R[0, j]) + half_a[1] * abs(R[1, j]) + half_a[2] * abs(R[2, j])
        if abs(along) > reach + half_b[j]:
            return False
    for i in range(3):
        i1, i2 = (i + 1) % 3, (i + 2) % 3
        for j in range(3):
            j1, j2 = (j + 1) % 3, (j + 2) % 3
            reach = half_a[i1] * abs(R[i2, j]) + half_a[i2] * abs(R[i1, j])
            reach += half_b[j1] * abs(R[i, j2]) + half_b[j2] * abs(R[i, j1])
            if abs(t[i2] * R[i1, j] - t[i1] * R[i2, j]) > reach + 1e-12:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def _touch_boxes(T_hand_ref, low, high, obstacles, half):  # type: ignore[no-untyped-def]
    touched = np.zeros(len(T_hand_ref), np.bool_)
    own, offset, R = np.empty(3), np.empty(3), np.empty((3, 3))
    for n in range(len(T_hand_ref)):
        T = T_hand_ref[n]
        for k in range(len(obstacles)):
            box = obstacles[k]
            for i in range(3):
                for j in range(3):
                    R[i, j] = T[i, 0] * box[0, j] + T[i, 1] * box[1, j] + T[i, 2] * box[2, j]
            for b in range(low.shape[1]):
                for i in range(3):
                    own[i] = (high[n, b, i] - low[n, b, i]) / 2
                    place = T[i, 0] * box[0, 3] + T[i, 1] * box[1, 3] + T[i, 2] * box[2, 3] + T[i, 3]
                    offset[i] = place - (high[n, b, i] + low[n, b, i]) / 2
                if _boxes_overlap(R, offset, own, half[k]):
                    touched[n] = True
                    break
            if touched[n]:
                break
    return touched
