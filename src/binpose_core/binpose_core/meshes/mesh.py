"""Triangle meshes as plain arrays: areas, volumes, samples, checks, welding."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from binpose_core.geometry.diameters import farthest_distance
from binpose_core.geometry.transforms import FloatArray


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices (V, 3) float32 in metres, faces (F, 3) int32; colors (V, 3) uint8 RGB of the vertices, where known.

    The arrays are never written to: what is derived from them is computed once and kept, but not pickled.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    colors: npt.NDArray[np.uint8] | None = None

    @property
    def face_areas(self) -> FloatArray:
        """(F,) float64 in m^2."""
        return self._areas_normals[0]

    @property
    def face_normals(self) -> FloatArray:
        """(F, 3) float64 unit normals by the winding; zero for a degenerate face."""
        return self._areas_normals[1]

    @cached_property
    def diameter_m(self) -> float:
        """BOP's diameter: the largest distance between two vertices of faces."""
        return farthest_distance(self.vertices[np.unique(self.faces)])

    @cached_property
    def box_center_m(self) -> FloatArray:
        """(3,) float64, the middle of the axis-aligned bounding box."""
        used = self.vertices[self.faces.ravel()].astype(np.float64)
        return np.asarray((used.min(axis=0) + used.max(axis=0)) / 2)

    @cached_property
    def watertight(self) -> bool:
        """Whether the faces close, see `is_watertight`."""
        return is_watertight(self.faces)

    @cached_property
    def solid(self) -> bool:
        """Whether the mesh bounds bodies seen from outside, see `solids.is_solid`: slow, for every face is compared."""
        from binpose_core.meshes.solids import is_solid

        return is_solid(self)

    @cached_property
    def _areas_normals(self) -> tuple[FloatArray, FloatArray]:
        return areas_normals(self.vertices, self.faces)

    def __getstate__(self) -> dict[str, Any]:
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def areas_normals(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    """Areas (F,) and unit normals (F, 3), float64, of vertices (V, 3) in any unit and faces (F, 3)."""
    corners = np.asarray(vertices, dtype=np.float64)[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    return length / 2, cross / np.maximum(length, 1e-30)[:, None]


def signed_volumes(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> FloatArray:
    """Volumes (F,) between faces (F, 3) and the origin, positive for a face that looks away from it.

    They sum up to the volume of a closed mesh whose faces wind outward, in the vertices' unit to the third.
    """
    a, b, c = np.moveaxis(np.asarray(vertices, dtype=np.float64)[faces], 1, 0)
    return np.asarray(np.einsum("fi,fi->f", a, np.cross(b, c)) / 6)


def sample_faces(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """N points (n, 3) float64 in metres on the surface and the faces (n,) they lie on, in random order.

    The points are stratified: every piece of surface gets its share of them to within one, which leaves
    fewer gaps than independent draws.
    """
    areas = mesh.face_areas
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
    return points.astype(np.float32), mesh.face_normals[face_ids].astype(np.float32)


def is_watertight(faces: npt.NDArray[np.integer]) -> bool:
    """Whether faces (F, 3) close: each edge belongs to an even number of them (two, or four where bodies touch)."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges = edges.astype(np.int64)
    _, counts = np.unique(edges[:, 0] * (edges.max(initial=0) + 1) + edges[:, 1], return_counts=True)
    return bool(len(faces)) and bool((counts % 2 == 0).all())


def welded(
    vertices: FloatArray, faces: npt.NDArray[np.int64], tolerance: float
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Vertices within the tolerance of each other made one; faces that collapse, or stand there twice, dropped."""
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
