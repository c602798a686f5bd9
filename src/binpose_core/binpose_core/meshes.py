"""Triangle meshes as plain arrays: reading, checking, sampling, decimating."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.geometry import FloatArray


@dataclass(frozen=True)
class Mesh:
    """vertices (V, 3) float32 in metres, faces (F, 3) int32."""

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]


def face_areas_normals(mesh: Mesh) -> tuple[FloatArray, FloatArray]:
    """Areas (F,) in m^2 and unit normals (F, 3) by the winding, float64; zero for a degenerate face."""
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    return length / 2, cross / np.maximum(length, 1e-30)[:, None]


def surface_samples(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """n points (n, 3) in metres uniform over the surface, and their faces' normals (n, 3), float32."""
    areas, normals = face_areas_normals(mesh)
    chosen = rng.choice(len(areas), size=n, p=areas / areas.sum())
    first, second = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces[chosen]], 1, 0)
    points = (1 - first) * a + first * (1 - second) * b + first * second * c
    return points.astype(np.float32), normals[chosen].astype(np.float32)


def diameter_m(mesh: Mesh) -> float:
    """BOP's diameter: the largest distance between two vertices, found among those of the convex hull."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    points = np.unique(mesh.vertices[np.unique(mesh.faces)].astype(np.float64), axis=0)
    try:
        points = points[ConvexHull(points).vertices]
    except QhullError:  # flat parts have no hull; all vertices serve
        pass
    return max(float(cdist_max) for cdist_max in (_farthest(points, pdist),))


def _farthest(points: FloatArray, pdist) -> float:
    return float(pdist(points).max())


def bounding_box_center(mesh: Mesh) -> FloatArray:
    """(3,) float64 in metres: the middle of the axis-aligned bounding box."""
    used = mesh.vertices[mesh.faces.ravel()].astype(np.float64)
    return (used.min(axis=0) + used.max(axis=0)) / 2


def decimated(mesh: Mesh, faces: int) -> Mesh:
    """The mesh with about that many faces (quadric edge collapse)."""
    import fast_simplification

    vertices, triangles = fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=faces, agg=3)
    return Mesh(vertices.astype(np.float32), triangles.astype(np.int32))
