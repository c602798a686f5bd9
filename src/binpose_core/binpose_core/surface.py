"""The surface of a part that a camera outside can see."""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry import FloatArray, from_rotation_translation, transform
from binpose_core.meshes import Mesh, diameter_m, face_areas_normals, sample_faces
from binpose_core.rendering import Renderer

VIEWS, VIEW_PX = 60, 160


def visible_samples(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """n samples of the surface that a camera outside can see: points (n, 3) in metres, normals (n, 3), float32.

    CAD assemblies hide balls, windings and screws inside; those must neither count as surface nor break a
    symmetry. A sample is visible when one of `VIEWS` evenly spread depth images shows it.
    """
    points, face_ids = sample_faces(mesh, 3 * n, rng)
    seen = visible(mesh, points)
    if seen.sum() < n:  # mostly hidden: draw as many more as the visible share asks for
        share = max(seen.mean(), 0.01)
        points, face_ids = sample_faces(mesh, int(1.2 * n / share) + 10, rng)
        seen = visible(mesh, points)
    kept = np.flatnonzero(seen) if seen.any() else np.arange(len(points))
    kept = rng.permutation(kept)[:n] if len(kept) >= n else rng.choice(kept, n)
    normals = face_areas_normals(mesh)[1][face_ids[kept]]
    return points[kept].astype(np.float32), normals.astype(np.float32)


def visible(mesh: Mesh, points: FloatArray) -> npt.NDArray[np.bool_]:
    """(N,) whether points (N, 3) on the surface are seen from outside in one of `VIEWS` directions."""
    size = diameter_m(mesh)
    distance, focal_px = 8 * size, 8 * 0.9 * VIEW_PX  # far away: nearly parallel rays
    middle = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
    rotation = _view_rotations(VIEWS)
    T_cam_obj = from_rotation_translation(rotation, np.array([0, 0, distance]) - rotation @ middle.astype(np.float64))
    intrinsics = np.array([focal_px, focal_px, VIEW_PX / 2, VIEW_PX / 2])
    depth = Renderer([mesh]).crops(np.zeros(VIEWS, int), T_cam_obj, intrinsics, VIEW_PX, VIEW_PX).depth_m
    x, y, z = np.moveaxis(transform(T_cam_obj, points[None].astype(np.float64)), -1, 0)
    u = np.clip(np.rint(focal_px * x / z + VIEW_PX / 2).astype(int), 0, VIEW_PX - 1)
    v = np.clip(np.rint(focal_px * y / z + VIEW_PX / 2).astype(int), 0, VIEW_PX - 1)
    # A pixel covers about 0.7 % of the diameter: surface that close behind the pixel's own still counts.
    in_front = z - depth[np.arange(VIEWS)[:, None], v, u] < 0.008 * size
    return np.asarray(in_front.any(axis=0))


def _view_rotations(count: int) -> FloatArray:
    """Rotations (count, 3, 3) whose third rows, the viewing directions, spread evenly over the sphere (Fibonacci)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    z = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], -1)
    x = np.cross(np.eye(3)[np.abs(z).argmin(axis=1)], z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=1)
