"""Whether fingers that close at a given place hold a part whose pose is off: evaluated on its surface points."""

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.gripper import GripperConfig, box_corners, hand_boxes
from binpose_grasping.robustness import TOUCHING_M

BAND_M = TOUCHING_M
FIRST, FIRST_M = 0.05, (0.0002, 0.001)
"""A finger slips by the surface within this fraction of the width from its first touch, and within these limits."""


def holds(
    T_hand_obj: FloatArray,
    width_m: FloatArray,
    points: FloatArray,
    normals: FloatArray,
    gripper: GripperConfig,
    cone_rad: float,
) -> npt.NDArray[np.bool_]:
    """Whether the open hand is free of the part, and both fingers touch it within the friction cones.

    The closing direction lies in the cones of most points that a finger touches first, and the line between the
    contacts lies in the cones of their mean normals.

    Args:
        T_hand_obj: (N, S, 4, 4) sampled poses of the part in the frame of each hand.
        width_m: (N,) widths that the fingers open for.
        points: (P, 3) of the part's surface in its own frame, metres.
        normals: (P, 3) outward.
        gripper: the hand.
        cone_rad: half angle of the friction cone.

    Returns:
        (N, S).
    """
    low, high = hand_boxes(gripper, width_m)
    pad = np.array([gripper.finger_width_m / 2, gripper.pad_m])
    poses, low, high, points, normals = (
        np.ascontiguousarray(array, np.float64) for array in (T_hand_obj, low, high, points, normals)
    )
    corners = box_corners(points.min(axis=0), points.max(axis=0))
    least_m = gripper.least_width_m
    return np.asarray(_holds(poses, low, high, points, normals, corners, pad, np.cos(cone_rad), least_m))


@numba.njit(cache=True, nogil=True)
def _contact(slab, count, sign, extreme, first_m, cosine, out):  # type: ignore[no-untyped-def]
    """Mean position and normal of the points near the extreme one that the finger does not slip on.

    False if it slips on most of the points that it touches first: an edge or a slope.
    """
    out[:] = 0.0
    met, firm, near = 0, 0, 0
    for k in range(count):
        depth = extreme - sign * slab[k, 1]
        if depth <= BAND_M:
            holds_there = sign * slab[k, 4] >= cosine
            if depth <= first_m:
                met += 1
                firm += holds_there
            if holds_there:
                near += 1
                for i in range(6):
                    out[i] += slab[k, i]
    length = np.sqrt(out[3] ** 2 + out[4] ** 2 + out[5] ** 2)
    if firm == 0 or 2 * firm < met or length == 0.0:
        return False
    for i in range(3):
        out[i] /= near
        out[3 + i] /= length
    return True


@numba.njit(cache=True, nogil=True)
def _largest_shift(poses, corners):  # type: ignore[no-untyped-def]
    """Largest distance that any point of a box moves from the first of the poses (S, 4, 4) to another one.

    The distance is convex in the point, so that the corners (8, 3) of the box suffice.
    """
    largest = 0.0
    for s in range(1, len(poses)):
        for c in range(8):
            squared = 0.0
            for k in range(3):
                step = poses[s, k, 3] - poses[0, k, 3]
                for i in range(3):
                    step += (poses[s, k, i] - poses[0, k, i]) * corners[c, i]
                squared += step * step
            largest = max(largest, squared)
    return np.sqrt(largest)


@numba.njit(cache=True, nogil=True)
def _reached(T, low, high, pad, points, shift, near):  # type: ignore[no-untyped-def]
    """Number of points that can come into the hand's boxes or between its pads; their numbers are written to `near`."""
    count = 0
    top, bottom = high[:, 2].max() + shift, low[:, 2].min() - shift
    for p in range(len(points)):
        px, py, pz = points[p, 0], points[p, 1], points[p, 2]
        z = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
        if z > top or z < bottom:
            continue
        x = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
        y = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
        meets = abs(x) <= pad[0] + shift and abs(z) <= pad[1] + shift and abs(y) < high[0, 1] + shift
        for box in range(len(low)):
            meets = meets or (
                low[box, 0] - shift <= x <= high[box, 0] + shift
                and low[box, 1] - shift <= y <= high[box, 1] + shift
                and low[box, 2] - shift <= z <= high[box, 2] + shift
            )
        if meets:
            near[count] = p
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _holds(T_hand_obj, low, high, points, normals, corners, pad, cosine, least):  # type: ignore[no-untyped-def]
    result = np.zeros(T_hand_obj.shape[:2], np.bool_)
    slab, a, b = np.empty((len(points), 6)), np.empty(6), np.empty(6)
    near = np.empty(len(points), np.int64)
    for n in range(T_hand_obj.shape[0]):
        shift = _largest_shift(T_hand_obj[n], corners)
        reached = _reached(T_hand_obj[n, 0], low[n], high[n], pad, points, shift, near)
        top = high[n, :, 2].max()
        bottom = low[n, :, 2].min()
        for s in range(T_hand_obj.shape[1]):
            T = T_hand_obj[n, s]
            count, hit = 0, False
            upper, lower = -np.inf, -np.inf
            for entry in range(reached):
                p = near[entry]
                px, py, pz = points[p, 0], points[p, 1], points[p, 2]
                z = T[2, 0] * px + T[2, 1] * py + T[2, 2] * pz + T[2, 3]
                if z > top or z < bottom:
                    continue
                x = T[0, 0] * px + T[0, 1] * py + T[0, 2] * pz + T[0, 3]
                y = T[1, 0] * px + T[1, 1] * py + T[1, 2] * pz + T[1, 3]
                for box in range(low.shape[1]):
                    if (
                        low[n, box, 0] <= x <= high[n, box, 0]
                        and low[n, box, 1] <= y <= high[n, box, 1]
                        and low[n, box, 2] <= z <= high[n, box, 2]
                    ):
                        hit = True
                        break
                if hit:
                    break
                if abs(x) <= pad[0] and abs(z) <= pad[1] and abs(y) < high[n, 0, 1]:
                    nx, ny, nz = normals[p, 0], normals[p, 1], normals[p, 2]
                    slab[count, 0], slab[count, 1], slab[count, 2] = x, y, z
                    for k in range(3):
                        slab[count, 3 + k] = T[k, 0] * nx + T[k, 1] * ny + T[k, 2] * nz
                    count += 1
                    upper, lower = max(upper, y), max(lower, -y)
            if hit or count < 2 or upper + lower < least:
                continue
            first_m = min(max(FIRST * (upper + lower), FIRST_M[0]), FIRST_M[1])
            if not (
                _contact(slab, count, 1.0, upper, first_m, cosine, a)
                and _contact(slab, count, -1.0, lower, first_m, cosine, b)
            ):
                continue
            dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
            length = np.sqrt(dx * dx + dy * dy + dz * dz)
            if length == 0.0:
                continue
            first = (dx * a[3] + dy * a[4] + dz * a[5]) / length
            second = -(dx * b[3] + dy * b[4] + dz * b[5]) / length
            result[n, s] = first >= cosine and second >= cosine
    return result
