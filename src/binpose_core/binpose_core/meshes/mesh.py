"""Triangle meshes as plain arrays: areas, volumes, samples, checks, welding."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from binpose_core.geometry.diameters import farthest_distance
from binpose_core.geometry.transforms import FloatArray


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices (V, 3) float32 in metres, faces (F, 3) int32; colors (V, 3) uint8 RGB of the vertices, optional."""

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    colors: npt.NDArray[np.uint8] | None = None


def face_areas_normals(mesh: Mesh) -> tuple[FloatArray, FloatArray]:
    """Areas (F,) in m^2 and unit normals (F, 3) by the winding, float64; zero for a degenerate face."""
    return areas_normals(mesh.vertices, mesh.faces)


def areas_normals(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    """As `face_areas_normals`, of vertices (V, 3) in any unit and faces (F, 3)."""
    corners = np.asarray(vertices, dtype=np.float64)[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    return length / 2, cross / np.maximum(length, 1e-30)[:, None]


def signed_volumes(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> FloatArray:
    """Volumes (F,) between faces (F, 3) and the origin, positive for a face that points away from it.

    Their sum is the volume of a closed mesh with outward winding, in the vertices' unit to the third.
    """
    a, b, c = np.moveaxis(np.asarray(vertices, dtype=np.float64)[faces], 1, 0)
    return np.asarray(np.einsum("fi,fi->f", a, np.cross(b, c)) / 6)


def sample_faces(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """N points (n, 3) float64 in metres on the surface and the faces (n,) they lie on, in random order.

    The points are stratified: the number of points on every piece of surface is proportional to its area to within one,
    which leaves fewer gaps than independent draws.
    """
    areas, _ = face_areas_normals(mesh)
    cumulated = np.cumsum(areas)
    places = (np.arange(n) + rng.random(n)) / n * cumulated[-1]
    chosen = rng.permutation(np.minimum(np.searchsorted(cumulated, places, side="right"), len(areas) - 1))
    first, second = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces[chosen]], 1, 0)
    return (1 - first) * a + first * (1 - second) * b + first * second * c, chosen


def surface_samples(
    mesh: Mesh, n: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """N points (n, 3) in metres spread evenly over the surface and their faces' normals (n, 3), float32."""
    points, face_ids = sample_faces(mesh, n, rng)
    return points.astype(np.float32), face_areas_normals(mesh)[1][face_ids].astype(np.float32)


def diameter_m(mesh: Mesh) -> float:
    """BOP's diameter: the largest distance between two vertices."""
    return farthest_distance(mesh.vertices[np.unique(mesh.faces)])


def bounding_box_center(mesh: Mesh) -> FloatArray:
    """(3,) float64 in metres: the centre of the axis-aligned bounding box."""
    used = mesh.vertices[mesh.faces.ravel()].astype(np.float64)
    return np.asarray((used.min(axis=0) + used.max(axis=0)) / 2)


def is_watertight(faces: npt.NDArray[np.integer]) -> bool:
    """Whether faces (F, 3) form a closed surface: each edge has an even number of faces (two, or four at contacts)."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges = edges.astype(np.int64)
    _, counts = np.unique(edges[:, 0] * (edges.max(initial=0) + 1) + edges[:, 1], return_counts=True)
    return bool(len(faces)) and bool((counts % 2 == 0).all())


def welded(
    vertices: FloatArray, faces: npt.NDArray[np.int64], tolerance: float
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Merge vertices within the tolerance of each other; drop faces that collapse, and duplicates."""
    _, first, index = np.unique(vertices + 0.0, axis=0, return_index=True, return_inverse=True)  # + 0.0: -0 is 0
    vertices, faces = vertices[first], index.reshape(-1)[faces]
    if tolerance > 0:
        pairs = cKDTree(vertices).query_pairs(tolerance, output_type="ndarray").T
        links = coo_matrix((np.ones(pairs.shape[1]), pairs), shape=(len(vertices), len(vertices)))
        _, cluster = connected_components(links, directed=False)
        _, first, index = np.unique(cluster, return_index=True, return_inverse=True)
        vertices, faces = vertices[first], index[faces]
    ends = np.sort(faces, axis=1)
    distinct = (ends[:, 0] != ends[:, 1]) & (ends[:, 1] != ends[:, 2])
    _, kept = np.unique(ends[distinct], axis=0, return_index=True)
    faces = faces[distinct][np.sort(kept)]
    used, faces = np.unique(faces, return_inverse=True)
    return vertices[used], faces.reshape(-1, 3).astype(np.int64)
