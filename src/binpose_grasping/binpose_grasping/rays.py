"""Intersections at which rays leave a mesh."""

from typing import NamedTuple

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
    """All intersections of rays with faces from behind (Moeller and Trumbore, 1997).

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
