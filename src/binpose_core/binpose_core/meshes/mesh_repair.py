"""Simple repairs of badly exported meshes, applied only where they are needed."""

import itertools

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import areas_normals, is_watertight, signed_volumes, welded

HOLE_FRACTION = 1e-3


def repaired(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Vertices (V, 3) and faces (F, 3), welded, without zero-area faces, small holes closed, winding outwards."""
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    vertices, faces = welded(vertices, faces, 0.0)
    if not is_watertight(faces):  # exporters may round the shared corners of neighbours differently
        vertices, faces = welded(vertices, faces, 1e-5 * size)
    vertices, faces = _without_slivers(vertices, faces)
    return _closed_and_turned(vertices, faces)


def _without_slivers(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Drop faces without area, unless they are needed to close the surface (T-junctions)."""
    areas, _ = areas_normals(vertices, faces)
    kept = faces[areas > 1e-14 * float(np.ptp(vertices, axis=0).max()) ** 2]
    if len(kept) == 0 or not is_watertight(faces) or is_watertight(kept):
        return vertices, kept
    return vertices, faces


def _closed_and_turned(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Small holes filled, and the winding made consistent and outward if possible."""
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False, validate=False)
    if not mesh.is_winding_consistent:
        trimesh.repair.fix_winding(mesh)
        faces = np.asarray(mesh.faces, dtype=np.int64)
    if not is_watertight(faces):
        faces = np.concatenate([faces, _hole_fillings(vertices, faces)])
    if is_watertight(faces) and signed_volumes(vertices, faces).sum() < 0:
        faces = faces[:, ::-1]
    return vertices, faces


def _hole_fillings(vertices: FloatArray, faces: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Triangles (K, 3) that close the holes whose area is at most `HOLE_FRACTION` of the part's extent squared."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    _, index, counts = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    rim = {int(end): int(start) for start, end in edges[counts[index.reshape(-1)] == 1]}  # reversed for the filling
    largest = HOLE_FRACTION * float(np.ptp(vertices, axis=0).max()) ** 2
    fillings: list[npt.NDArray[np.int64]] = []
    while rim:
        start, corner = rim.popitem()
        loop = [start]
        while corner != start and corner in rim:
            loop.append(corner)
            corner = rim.pop(corner)
        fan = np.array([[start, a, b] for a, b in itertools.pairwise(loop[1:])], dtype=np.int64).reshape(-1, 3)
        if corner == start and len(fan) and areas_normals(vertices, fan)[0].sum() <= largest:
            fillings.append(fan)
    return np.concatenate(fillings) if fillings else np.zeros((0, 3), dtype=np.int64)
