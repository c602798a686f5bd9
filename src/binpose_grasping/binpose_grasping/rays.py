"""Intersections of rays with a mesh (Moeller and Trumbore, 1997): all exits, and the first hits."""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh

PAIRS_AT_ONCE = 500_000  # pairs of rays and faces: 12 MB per array of vectors


class Exits(NamedTuple):
    """K exit points: ray (K,), face (K,) and distance_m (K,) from the ray's origin, ordered by ray."""

    ray: npt.NDArray[np.intp]
    face: npt.NDArray[np.intp]
    distance_m: FloatArray


def exits(mesh: Mesh, origins: FloatArray, directions: FloatArray, nearest_m: float) -> Exits:
    """All intersections of rays with faces from behind.

    Args:
        mesh: with outward winding.
        origins: (N, 3) in metres.
        directions: (N, 3) unit vectors.
        nearest_m: intersections nearer to the origin are ignored.
    """
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    normals = mesh.face_normals
    rays = max(1, PAIRS_AT_ONCE // max(len(corners), 1))
    found = [
        _met(corners, normals, origins[some : some + rays], directions[some : some + rays], nearest_m, some)
        for some in range(0, len(origins), rays)
    ]
    empty = Exits(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    return Exits(*(np.concatenate(parts) for parts in zip(empty, *found, strict=True)))


def first_hits(
    corners: FloatArray, origins: FloatArray, directions: FloatArray, farthest_m: float
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Where rays first meet triangles, from either side.

    Args:
        corners: (F, 3, 3) of the triangles, metres.
        origins: (N, 3) in metres.
        directions: (N, 3) unit vectors.
        farthest_m: length of the rays.

    Returns:
        distances (N,) in metres, inf without a hit, and faces (N,), -1 without.
    """
    corners, origins, directions = (np.ascontiguousarray(a, np.float64) for a in (corners, origins, directions))
    distances, faces = _first_hits(corners, origins, directions, farthest_m)
    return np.asarray(distances), np.asarray(faces)


def _met(
    corners: FloatArray, normals: FloatArray, origins: FloatArray, directions: FloatArray, nearest_m: float, first: int
) -> Exits:
    ray, face = np.nonzero(directions @ normals.T > 0)
    a, b, c = np.moveaxis(corners[face], 1, 0)
    origin, direction = origins[ray], directions[ray]
    edge_b, edge_c, offset = b - a, c - a, origin - a
    side = np.cross(direction, edge_c)
    volume = (edge_b * side).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (offset * side).sum(-1) / volume
        turned = np.cross(offset, edge_b)
        v = (direction * turned).sum(-1) / volume
        distance_m = (edge_c * turned).sum(-1) / volume
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance_m >= nearest_m)
    return Exits(ray[hit] + first, face[hit], distance_m[hit])


@numba.njit(cache=True, nogil=True)
def _first_hits(corners, origins, directions, farthest):  # type: ignore[no-untyped-def]
    distances, faces = np.full(len(origins), np.inf), np.full(len(origins), -1, np.int64)
    for n in range(len(origins)):
        ox, oy, oz = origins[n, 0], origins[n, 1], origins[n, 2]
        dx, dy, dz = directions[n, 0], directions[n, 1], directions[n, 2]
        best = farthest
        for f in range(len(corners)):
            ax, ay, az = corners[f, 0, 0], corners[f, 0, 1], corners[f, 0, 2]
            bx, by, bz = corners[f, 1, 0] - ax, corners[f, 1, 1] - ay, corners[f, 1, 2] - az
            cx, cy, cz = corners[f, 2, 0] - ax, corners[f, 2, 1] - ay, corners[f, 2, 2] - az
            px, py, pz = dy * cz - dz * cy, dz * cx - dx * cz, dx * cy - dy * cx
            volume = bx * px + by * py + bz * pz
            if abs(volume) < 1e-18:
                continue
            sx, sy, sz = ox - ax, oy - ay, oz - az
            u = (sx * px + sy * py + sz * pz) / volume
            if u < 0 or u > 1:
                continue
            qx, qy, qz = sy * bz - sz * by, sz * bx - sx * bz, sx * by - sy * bx
            v = (dx * qx + dy * qy + dz * qz) / volume
            if v < 0 or u + v > 1:
                continue
            distance = (cx * qx + cy * qy + cz * qz) / volume
            if 0 <= distance < best:
                best = distance
                distances[n], faces[n] = distance, f
    return distances, faces
