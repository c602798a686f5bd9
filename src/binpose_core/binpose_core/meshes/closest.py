"""Distances from points to a triangle mesh, exact up to a cap: a grid of cells lists the triangles near them.

The cap keeps it simple and fast: only the 27 cells around a point can matter. `distance_reference` is
the readable twin that the tests compare with.
"""

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh

MAX_CELLS = 96


class FaceGrid:
    """Cubic cells and the triangles that come near to each: at least those that touch it.

    Args:
        corners: (F, 3, 3) of the triangles, float64.
        cell: side of a cell in the corners' unit; larger where `MAX_CELLS` would not reach along the longest side.

    Attributes:
        low: (3,) the grid's lowest corner, at least one cell below every triangle's.
        cell: the side that was taken.
        shape: (3,) number of cells; cell (i, j, k) has the number (i * shape[1] + j) * shape[2] + k.
        start, items: the triangles of cell n are items[start[n]:start[n + 1]].
    """

    def __init__(self, corners: FloatArray, cell: float) -> None:
        low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        self.cell = max(cell, float((high - low).max()) / MAX_CELLS)
        self.low = low - self.cell
        self.shape = np.ceil((high - self.low) / self.cell).astype(np.int64) + 1
        self.start, self.items = _fill_grid(corners, self.low, self.cell, self.shape)


class DistanceField:
    """Distances to the surface of a mesh, at most `cap_m`.

    Args:
        mesh: vertices in metres.
        cap_m: larger distances are reported as this.

    Attributes:
        anchors, normals: (F, 3) a point of every face's plane, and its unit normal.
    """

    def __init__(self, mesh: Mesh, cap_m: float) -> None:
        self.cap_m = cap_m
        self._corners = np.ascontiguousarray(mesh.vertices.astype(np.float64)[mesh.faces])
        self.anchors, self.normals = self._corners[:, 0], mesh.face_normals
        self._grid = FaceGrid(self._corners, cap_m)

    def __call__(self, points: FloatArray) -> FloatArray:
        """Distances (...) in metres, at most the cap, of points (..., 3)."""
        return self.nearest(points)[0]

    def nearest(self, points: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        """Distances (...) in metres and nearest faces (...) of points (..., 3); the cap and -1 beyond it."""
        flat = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
        grid = self._grid
        distances, faces = _nearest(
            flat, self._corners, grid.low, grid.cell, grid.shape, grid.start, grid.items, self.cap_m
        )
        return distances.reshape(points.shape[:-1]), faces.reshape(points.shape[:-1])


def distance_reference(mesh: Mesh, points: FloatArray) -> FloatArray:
    """Distances (N,) of points (N, 3) to the mesh, every triangle tried, in the mesh's unit."""
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces], 1, 0)
    points = np.asarray(points, dtype=np.float64)[:, None]
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-300)
    inside, to_edges = np.ones((len(points), len(a)), dtype=bool), []
    for start, end in ((a, b), (b, c), (c, a)):
        edge, offset = end - start, points - start
        inside &= ((np.cross(edge, offset) * normal).sum(-1) >= 0) & normal.any(axis=-1)
        along = np.clip((offset * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-300), 0, 1)
        to_edges.append(np.linalg.norm(offset - along[..., None] * edge, axis=-1))
    height = np.abs(((points - a) * normal).sum(-1))
    return np.asarray(np.where(inside, height, np.minimum.reduce(to_edges)).min(axis=1))


@numba.njit(inline="always")
def _sub(a, b):  # type: ignore[no-untyped-def]
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


@numba.njit(inline="always")
def _dot(a, b):  # type: ignore[no-untyped-def]
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@numba.njit(inline="always")
def _left(offset, edge, share):  # type: ignore[no-untyped-def]
    """Squared length of offset - share * edge."""
    x, y, z = offset[0] - share * edge[0], offset[1] - share * edge[1], offset[2] - share * edge[2]
    return x * x + y * y + z * z


@numba.njit
def squared_distance(p, corners):  # type: ignore[no-untyped-def]
    """Point to triangle (3, 3) by the region it projects to (Ericson, Real-Time Collision Detection, 5.1.5)."""
    a = (corners[0, 0], corners[0, 1], corners[0, 2])
    b = (corners[1, 0], corners[1, 1], corners[1, 2])
    c = (corners[2, 0], corners[2, 1], corners[2, 2])
    ab, ac, ap = _sub(b, a), _sub(c, a), _sub(p, a)
    d1, d2 = _dot(ab, ap), _dot(ac, ap)
    if d1 <= 0 and d2 <= 0:
        return _dot(ap, ap)
    bp = _sub(p, b)
    d3, d4 = _dot(ab, bp), _dot(ac, bp)
    if d3 >= 0 and d4 <= d3:
        return _dot(bp, bp)
    cp = _sub(p, c)
    d5, d6 = _dot(ab, cp), _dot(ac, cp)
    if d6 >= 0 and d5 <= d6:
        return _dot(cp, cp)
    vc = d1 * d4 - d3 * d2
    if vc <= 0 and d1 >= 0 and d3 <= 0 and d1 > d3:
        return _left(ap, ab, d1 / (d1 - d3))
    vb = d5 * d2 - d1 * d6
    if vb <= 0 and d2 >= 0 and d6 <= 0 and d2 > d6:
        return _left(ap, ac, d2 / (d2 - d6))
    va = d3 * d6 - d5 * d4
    if (va <= 0 and d4 >= d3 and d5 >= d6) or va + vb + vc == 0:
        return _left(bp, _sub(c, b), (d4 - d3) / max((d4 - d3) + (d5 - d6), 1e-300))
    v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    rest = (ap[0] - v * ab[0] - w * ac[0], ap[1] - v * ab[1] - w * ac[1], ap[2] - v * ab[2] - w * ac[2])
    return _dot(rest, rest)


@numba.njit
def _cells_of(triangle, low, cell, shape):  # type: ignore[no-untyped-def]
    """First and last cell of a triangle's bounding box along each axis."""
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for axis in range(3):
        first[axis] = max(int((triangle[:, axis].min() - low[axis]) / cell), 0)
        last[axis] = min(int((triangle[:, axis].max() - low[axis]) / cell), shape[axis] - 1)
    return first, last


@numba.njit(cache=True)
def _fill_grid(corners, low, cell, shape):  # type: ignore[no-untyped-def]
    """Triangles by cell: those of cell k are items[start[k]:start[k + 1]]; counted first, then written."""
    start = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    items = np.empty(0, np.int32)
    reach = 0.75 * cell * cell * 1.0001  # the squared half diagonal of a cell
    for writing in range(2):
        if writing:
            start[1:] = np.cumsum(start[1:])
            items = np.empty(start[-1], np.int32)
            filled = start[:-1].copy()
        for face in range(len(corners)):
            first, last = _cells_of(corners[face], low, cell, shape)
            for i in range(first[0], last[0] + 1):
                for j in range(first[1], last[1] + 1):
                    for k in range(first[2], last[2] + 1):
                        middle = (low[0] + (i + 0.5) * cell, low[1] + (j + 0.5) * cell, low[2] + (k + 0.5) * cell)
                        if squared_distance(middle, corners[face]) <= reach:
                            index = (i * shape[1] + j) * shape[2] + k
                            if writing:
                                items[filled[index]] = face
                                filled[index] += 1
                            else:
                                start[index + 1] += 1
    return start, items


@numba.njit(cache=True)
def _nearest(points, corners, low, cell, shape, start, items, cap):  # type: ignore[no-untyped-def]
    distances, faces = np.empty(len(points)), np.full(len(points), -1, np.int32)
    for n in range(len(points)):
        p = (points[n, 0], points[n, 1], points[n, 2])
        best = cap * cap
        own_i = int(np.floor((p[0] - low[0]) / cell))
        own_j = int(np.floor((p[1] - low[1]) / cell))
        own_k = int(np.floor((p[2] - low[2]) / cell))
        for step in range(27):  # the own cell first: it usually rules the others out
            turn = (step + 13) % 27
            i, j, k = own_i + turn // 9 - 1, own_j + turn // 3 % 3 - 1, own_k + turn % 3 - 1
            if i < 0 or j < 0 or k < 0 or i >= shape[0] or j >= shape[1] or k >= shape[2]:
                continue
            gap = 0.0
            for axis, index in enumerate((i, j, k)):
                edge = low[axis] + index * cell
                outside = max(edge - p[axis], p[axis] - edge - cell, 0.0)
                gap += outside * outside
            if gap >= best:
                continue
            cell_id = (i * shape[1] + j) * shape[2] + k
            for item in range(start[cell_id], start[cell_id + 1]):
                squared = squared_distance(p, corners[items[item]])
                if squared < best:
                    best = squared
                    faces[n] = items[item]
        distances[n] = np.sqrt(best)
    return distances, faces
