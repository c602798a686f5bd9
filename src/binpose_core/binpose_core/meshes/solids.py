"""Tests whether a mesh bounds solid bodies, so that the first surface on every ray from outside faces the camera.

A mesh is split into pieces along the edges that belong to more than two faces. If the faces of a piece touch only in
their common corners, the space in front of all its faces has one winding number, and the space behind them has one
more. Since the piece is closed, these are 0 and 1 if its volume is positive, and -1 and 0 otherwise. Around pieces with
positive volume no winding number is negative, and a ray from outside, where it is 0, enters a body through the front of
a face.
"""

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.closest import FaceGrid, squared_distance
from binpose_core.meshes.mesh import Mesh, signed_volumes

TOUCHING = 1e-9
"""Touching distance as a fraction of the mesh's size: far below the rounding of its float32 vertices."""
FLAT = 1e-6
"""Distance within which two faces are coplanar, as a fraction of the mesh's size. Thin faces of flat, finely meshed
regions fold within their plane when their corners are rounded to float32."""


def is_solid(mesh: Mesh) -> bool:
    """Whether the mesh bounds bodies seen from outside.

    Each piece must be closed, with as many faces on one side of each edge as on the other, have a positive volume, and
    not touch itself except within a plane. The result is False wherever a piece touches or intersects itself, even if
    that would be harmless.
    """
    a, b, c = mesh.faces.T
    faces = mesh.faces[(a != b) & (b != c) & (c != a)].astype(np.int64)  # the others have no area and are not rendered
    if len(faces) == 0:
        return False
    pieces = _pieces(faces)
    begin, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    count, owner = len(mesh.vertices), np.repeat(pieces, 3) * len(mesh.vertices)
    if (np.sort((owner + begin) * count + end) != np.sort((owner + end) * count + begin)).any():
        return False
    if not (np.bincount(pieces, signed_volumes(mesh.vertices, faces)) > 0).all():
        return False
    return not touches_itself(mesh.vertices, faces, pieces)


def touches_itself(
    vertices: FloatArray, faces: npt.NDArray[np.integer], pieces: npt.NDArray[np.integer] | None = None
) -> bool:
    """Whether two faces (F, 3) of one piece in different planes meet anywhere except in common vertices.

    Args:
        vertices: (V, 3) in any unit.
        faces: without faces that repeat a vertex.
        pieces: (F,) the piece of each face; by default all belong to one.
    """
    corners = np.ascontiguousarray(np.asarray(vertices, np.float64)[faces])
    size = float(np.ptp(corners.reshape(-1, 3), axis=0).max())
    grid = FaceGrid(corners, size / max(1.0, np.sqrt(len(faces) / 2)))
    own = np.zeros(len(faces), np.int64) if pieces is None else pieces.astype(np.int64)
    ids = np.ascontiguousarray(faces, np.int64)
    return bool(_any_touch(corners, ids, own, grid.low, grid.cell, grid.shape, grid.start, grid.items, size))


def _pieces(faces: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """(F,) the number of each face's piece: faces are connected by edges that belong to exactly two faces."""
    begin, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    edges = np.minimum(begin, end) * (faces.max() + 1) + np.maximum(begin, end)
    order = np.argsort(edges, kind="stable")
    _, first, uses = np.unique(edges[order], return_index=True, return_counts=True)
    pairs = order[first[uses == 2, None] + [0, 1]] // 3
    links = coo_matrix((np.ones(len(pairs), bool), pairs.T), shape=(len(faces), len(faces)))
    return np.asarray(connected_components(links, directed=False)[1])


@njit(inline="always")
def _sub(a, b):  # type: ignore[no-untyped-def]
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@njit(inline="always")
def _dot(a, b):  # type: ignore[no-untyped-def]
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(inline="always")
def _cross(a, b):  # type: ignore[no-untyped-def]
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(inline="always")
def _clamped(x):  # type: ignore[no-untyped-def]
    return min(max(x, 0.0), 1.0)


@njit
def _segments_apart(p, q, a, b):  # type: ignore[no-untyped-def]
    """Squared distance of the segments p-q and a-b (Ericson, Real-Time Collision Detection, 5.1.9)."""
    first, second, offset = _sub(q, p), _sub(b, a), _sub(p, a)
    ff, ss, fs = _dot(first, first), _dot(second, second), _dot(first, second)
    fo, so = _dot(first, offset), _dot(second, offset)
    apart = ff * ss - fs * fs
    s = _clamped((fs * so - fo * ss) / apart) if apart > 1e-15 * ff * ss else 0.0
    t = _clamped((fs * s + so) / max(ss, 1e-300))
    s = _clamped((fs * t - fo) / max(ff, 1e-300))
    gap = (
        offset[0] + s * first[0] - t * second[0],
        offset[1] + s * first[1] - t * second[1],
        offset[2] + s * first[2] - t * second[2],
    )
    return _dot(gap, gap)


@njit
def _pierces(p, q, a, b, c):  # type: ignore[no-untyped-def]
    """Whether the segment p-q intersects the triangle (a, b, c)."""
    along, to_a, to_b, to_c = _sub(q, p), _sub(a, p), _sub(b, p), _sub(c, p)
    u, v, w = _dot(along, _cross(to_c, to_b)), _dot(along, _cross(to_a, to_c)), _dot(along, _cross(to_b, to_a))
    if min(u, v, w) < 0.0 < max(u, v, w) or u == v == w == 0.0:
        return False
    normal = _cross(_sub(b, a), _sub(c, a))
    return _dot(normal, to_a) * _dot(normal, _sub(a, q)) <= 0.0


@njit
def _touches(p, q, triangle, reach):  # type: ignore[no-untyped-def]
    """Whether the distance of the segment p-q to the triangle (3, 3) is at most `reach`."""
    for axis in range(3):
        low, high = triangle[:, axis].min(), triangle[:, axis].max()
        if max(p[axis], q[axis]) < low - reach or min(p[axis], q[axis]) > high + reach:
            return False
    a, b, c = triangle[0], triangle[1], triangle[2]
    if _pierces(p, q, a, b, c):
        return True
    if min(squared_distance(p, triangle), squared_distance(q, triangle)) <= reach * reach:
        return True
    nearest = min(_segments_apart(p, q, a, b), _segments_apart(p, q, b, c), _segments_apart(p, q, c, a))
    return nearest <= reach * reach


@njit
def _in_one_plane(first, second, reach):  # type: ignore[no-untyped-def]
    """Whether the smaller of two triangles (3, 3) lies within `reach` of the larger one's plane."""
    n = _cross(_sub(first[1], first[0]), _sub(first[2], first[0]))
    m = _cross(_sub(second[1], second[0]), _sub(second[2], second[0]))
    if _dot(n, n) < _dot(m, m):
        n, first, second = m, second, first
    a, b, c = _sub(second[0], first[0]), _sub(second[1], first[0]), _sub(second[2], first[0])
    return max(abs(_dot(n, a)), abs(_dot(n, b)), abs(_dot(n, c))) < reach * np.sqrt(_dot(n, n))


@njit
def _cuts(p, q, low, cell, out):  # type: ignore[no-untyped-def]
    """Fill out with the parameters, from 0 to 1, where the segment p-q enters the next cell; returns their number."""
    out[0], out[1] = 0.0, 1.0
    count = 2
    for axis in range(3):
        first, last = (min(p[axis], q[axis]) - low[axis]) / cell, (max(p[axis], q[axis]) - low[axis]) / cell
        for plane in range(int(np.floor(first)) + 1, int(np.floor(last)) + 1):
            out[count] = _clamped((low[axis] + plane * cell - p[axis]) / (q[axis] - p[axis]))
            count += 1
    out[:count].sort()
    return count


@njit(cache=True)
def _any_touch(corners, faces, pieces, low, cell, shape, start, items, size):  # type: ignore[no-untyped-def]
    reach, flat = TOUCHING * size, FLAT * size
    cuts = np.empty(shape.sum() + 2)
    for face in range(len(faces)):
        for corner in range(3):
            i, j = faces[face, corner], faces[face, (corner + 1) % 3]
            p, q = corners[face, corner], corners[face, (corner + 1) % 3]
            for cut in range(_cuts(p, q, low, cell, cuts) - 1):
                middle = 0.5 * (cuts[cut] + cuts[cut + 1])
                cell_id = 0
                for axis in range(3):
                    place = int((p[axis] + middle * (q[axis] - p[axis]) - low[axis]) / cell)
                    cell_id = cell_id * shape[axis] + place
                for item in range(start[cell_id], start[cell_id + 1]):
                    other = items[item]
                    joined = (faces[other] == i).any() or (faces[other] == j).any()
                    if joined or pieces[other] != pieces[face]:
                        continue
                    near = _touches(p, q, corners[other], reach)
                    if near and not _in_one_plane(corners[face], corners[other], flat):
                        return True
    return False
