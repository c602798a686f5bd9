"""Levels of detail: the same part in fewer triangles, with the error that this costs."""

import numpy as np
from scipy.spatial import cKDTree

from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.mesh import Mesh, sample_faces

LOD_FACES = (5000, 1000, 300)
ENOUGH_FACES = 40_000  # levels are made from a mesh of so many where there are twice as many: it costs no accuracy
# The simplifier's greed: mild settings stop early on parts with many holes, wild ones spoil the shape.
AGGRESSIVENESS = (2, 3, 4, 5)
FEW_ENOUGH = 1.5
WORST_ERROR = 0.05
SAMPLES = 3000
STORED_FACES, STORED_ERROR = 200_000, 5e-4
"""Finer meshes are reduced to this many faces where that moves the surface by less than this share of the diameter."""


def levels_of_detail(mesh: Mesh) -> tuple[tuple[Mesh, ...], tuple[float, ...]]:
    """Decimated meshes of about `LOD_FACES` faces, descending, and their errors in metres.

    A level is left out where the mesh is that coarse already, or where it would be off by 5 % of the diameter or more.
    """
    size_m = mesh.diameter_m
    source = decimated(mesh, ENOUGH_FACES) if len(mesh.faces) > 2 * ENOUGH_FACES else mesh
    levels: list[Mesh] = []
    errors_m: list[float] = []
    for count in LOD_FACES:
        if count * FEW_ENOUGH >= len(mesh.faces):
            continue
        candidates = [decimated(source, count, aggressiveness) for aggressiveness in AGGRESSIVENESS]
        candidates = [c for c in candidates if 4 <= len(c.faces) <= FEW_ENOUGH * count]
        scored = [(surface_error_m(mesh, c, WORST_ERROR * size_m), c) for c in candidates]
        error_m, best = min(scored, key=lambda item: item[0], default=(np.inf, mesh))
        if error_m < WORST_ERROR * size_m and (not levels or len(best.faces) < len(levels[-1].faces)):
            levels.append(best)
            errors_m.append(error_m)
    return tuple(levels), tuple(errors_m)


def reduced(mesh: Mesh) -> tuple[Mesh, float]:
    """The mesh with about `STORED_FACES` faces at most, and how far in metres its surface is off then.

    Scans have millions of faces, and every step pays for them. A mesh that would change visibly stays as it is.
    """
    if len(mesh.faces) <= STORED_FACES:
        return mesh, 0.0
    coarse, cap_m = decimated(mesh, STORED_FACES), 2 * STORED_ERROR * mesh.diameter_m
    error_m = surface_error_m(mesh, coarse, cap_m)
    opened = mesh.watertight and not coarse.watertight
    if error_m > cap_m / 2 or opened or len(coarse.faces) > FEW_ENOUGH * STORED_FACES:
        return mesh, 0.0
    colors = None if mesh.colors is None else mesh.colors[cKDTree(mesh.vertices).query(coarse.vertices)[1]]
    return Mesh(coarse.vertices, coarse.faces, colors), error_m


def decimated(mesh: Mesh, faces: int, aggressiveness: int = 3) -> Mesh:
    """The mesh with about that many faces, by quadric edge collapse; more where the shape does not allow it."""
    import fast_simplification

    size = float(np.ptp(mesh.vertices, axis=0).max())  # its thresholds suppose parts of about unit size
    scaled = np.ascontiguousarray(mesh.vertices / size, dtype=np.float32)
    indices = np.array(mesh.faces, dtype=np.int32, order="C")  # it takes no array that is read-only
    vertices, triangles = fast_simplification.simplify(scaled, indices, target_count=faces, agg=aggressiveness)[:2]
    return Mesh((vertices * size).astype(np.float32), triangles.astype(np.int32))


def surface_error_m(mesh: Mesh, other: Mesh, cap_m: float) -> float:
    """The largest distance, at most the cap, of samples of either surface to the other one."""
    rng = np.random.default_rng(0)
    there = DistanceField(other, cap_m)(sample_faces(mesh, SAMPLES, rng)[0])
    back = DistanceField(mesh, cap_m)(sample_faces(other, SAMPLES, rng)[0])
    return float(max(there.max(), back.max()))
