"""Triangulation of the polygons of mesh files: planar or nearly planar, convex or not, with bridges to holes.

Polygons that are visible as a whole from one of their corners become a fan, for all of them at once in numpy. The
others are triangulated by the ear clipping of manifold3d.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray

Indices = npt.NDArray[np.int64]

ROUNDING = 1e-6
"""Areas below this fraction of a polygon's extent squared are rounding errors of its corners."""
NARROW = 1e-5
"""A polygon without area that is narrower than this fraction of its extent is a line."""


class MalformedMesh(ValueError):
    """The error of a mesh file: the rest of a sentence that begins with "The mesh <path>"."""


class Polygons(NamedTuple):
    """A surface as stored in a file.

    vertices: (V, 3) float64 in the file's unit.
    corners: (C,) indices of vertices, polygon after polygon.
    counts: (P,) number of corners of each polygon.
    colors: (V, 3) uint8 RGB of the vertices, or None.
    """

    vertices: FloatArray
    corners: Indices
    counts: Indices
    colors: npt.NDArray[np.uint8] | None = None


def triangle_soup(vertices: FloatArray, faces: Indices, colors: npt.NDArray[np.uint8] | None = None) -> Polygons:
    """Polygons of triangles (F, 3)."""
    return Polygons(vertices, faces.reshape(-1), np.full(len(faces), 3, np.int64), colors)


def triangulated(surface: Polygons) -> Indices:
    """Triangles (F, 3) of the same surface and winding; polygons with fewer than three distinct corners are dropped.

    Raises:
        MalformedMesh: for a polygon that crosses itself.
    """
    if (surface.counts == 3).all():
        return surface.corners.reshape(-1, 3)
    numbers, corners, counts = _without_repeats(surface)
    starts = np.cumsum(counts) - counts
    triangles = [np.zeros((0, 3), np.int64)]
    for count in np.unique(counts[counts >= 3]):
        chosen = np.flatnonzero(counts == count)
        polygons = corners[starts[chosen, None] + np.arange(count)]
        if count == 3:
            triangles.append(polygons)
            continue
        fans, simple = _fans(surface.vertices, polygons)
        triangles.append(fans[simple].reshape(-1, 3))
        for k in np.flatnonzero(~simple):
            triangles.append(_clipped(surface.vertices, polygons[k], int(numbers[chosen[k]])))
    return np.concatenate(triangles)


def _without_repeats(surface: Polygons) -> tuple[Indices, Indices, Indices]:
    """Polygons' numbers, corners and counts, without corners that repeat the previous one."""
    numbers = np.flatnonzero(surface.counts > 0)
    counts = surface.counts[numbers]
    ends = np.cumsum(counts)
    before = np.roll(surface.corners, 1)
    before[ends - counts] = surface.corners[ends - 1]
    kept = surface.corners != before
    return numbers, surface.corners[kept], np.add.reduceat(kept, ends - counts, dtype=np.int64)


def _fans(vertices: FloatArray, polygons: Indices) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Fans (K, n - 2, 3) from the first or second corner of polygons (K, n), and whether (K,) they cover them."""
    normals, _ = _normals_extents(vertices[polygons])
    turned = np.roll(polygons, -1, axis=1)
    quality, quality_turned = (_fan_quality(vertices[p], normals) for p in (polygons, turned))
    best = np.where((quality_turned > quality)[:, None], turned, polygons)
    first = np.broadcast_to(best[:, :1], best[:, 2:].shape)
    return np.stack([first, best[:, 1:-1], best[:, 2:]], axis=-1), np.maximum(quality, quality_turned) > ROUNDING


def _fan_quality(points: FloatArray, normals: FloatArray) -> FloatArray:
    """(K,) the smallest area in a fan, relative to the extent squared; -1 if the fan winds around its corner."""
    arms = points[:, 1:] - points[:, :1]
    areas = np.einsum("kni,ki->kn", np.cross(arms[:, :-1], arms[:, 1:]), normals) / 2
    angles = np.arctan2(2 * areas, np.einsum("kni,kni->kn", arms[:, :-1], arms[:, 1:]))
    extents = np.ptp(points, axis=1).max(axis=-1)
    least = areas.min(axis=1) / np.maximum(extents, 1e-300) ** 2
    return np.asarray(np.where(angles.sum(axis=1) < 2 * np.pi - 1e-6, least, -1.0))


def _normals_extents(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit normals (K, 3) by Newell's method of polygons (K, n, 3), zero where they have no area, and extents (K,)."""
    extents = np.ptp(points, axis=1).max(axis=-1)
    scaled = (points - points[:, :1]) / np.maximum(extents, 1e-300)[:, None, None]
    vectors = np.cross(scaled, np.roll(scaled, -1, axis=1)).sum(axis=1)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 2 * ROUNDING, vectors / np.maximum(length, 1e-300), 0.0), extents


def _clipped(vertices: FloatArray, polygon: Indices, number: int) -> Indices:
    """Triangles (n - 2, 3) of one polygon (n,)."""
    from manifold3d import triangulate

    points = vertices[polygon]
    (normal,), (extent,) = _normals_extents(points[None])
    scaled = (points - points.mean(axis=0)) / max(float(extent), 1e-300)
    if not normal.any():
        if np.linalg.svd(scaled, compute_uv=False)[1] > NARROW:
            raise _crossing(number, len(polygon))
        return np.stack([np.full(len(polygon) - 2, polygon[0]), polygon[1:-1], polygon[2:]], axis=-1)
    right = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    flat = scaled @ np.stack([right, np.cross(normal, right)], axis=-1) / np.linalg.norm(right)
    triangles = np.asarray(triangulate([flat]), dtype=np.int64)
    a, b = flat[triangles[:, 1]] - flat[triangles[:, 0]], flat[triangles[:, 2]] - flat[triangles[:, 0]]
    if len(triangles) != len(polygon) - 2 or (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < -2 * ROUNDING).any():
        raise _crossing(number, len(polygon))
    return polygon[triangles]


def _crossing(number: int, corners: int) -> MalformedMesh:
    return MalformedMesh(
        f"has a face (number {number + 1}, of {corners} corners) whose outline crosses itself; expected plain "
        "polygons; triangulate the faces on export."
    )
