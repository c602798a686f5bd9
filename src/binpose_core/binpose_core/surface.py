"""The surface of a part that a camera outside can see.

CAD assemblies hide balls, windings and screws inside. Hidden surface must neither be matched with
observed points nor break a symmetry.
"""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry import FloatArray, from_rotation_translation, transform
from binpose_core.meshes import Mesh, bounding_box_center, face_areas_normals, sample_faces
from binpose_core.rendering import Renderer, Rendering

VIEWS, VIEW_PX = 60, 160
FOCAL_PX = 8 * 0.9 * VIEW_PX  # from eight widths away the part fills 0.9 of the image
# A pixel covers about 0.7 % of the width: surface that close behind what the pixel shows is seen too.
BEHIND = 0.008


def visible_samples(
    mesh: Mesh, n: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Points (n, 3) in metres spread evenly over the visible surface, and normals (n, 3), float32.

    A point is visible when one of `VIEWS` images from all around shows it.
    """
    points, face_ids = sample_faces(mesh, 3 * n, rng)
    seen = is_visible(mesh, points)
    if seen.sum() < n:  # mostly hidden: draw as many more as the visible share asks for
        points, face_ids = sample_faces(mesh, int(1.2 * n / max(seen.mean(), 0.01)), rng)
        seen = is_visible(mesh, points)
    shown = np.flatnonzero(seen) if seen.any() else np.arange(len(points))
    kept = shown[:n] if len(shown) >= n else rng.choice(shown, n)
    normals = face_areas_normals(mesh)[1][face_ids[kept]]
    return points[kept].astype(np.float32), normals.astype(np.float32)


def seen_samples(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Points (n, 3) in metres drawn from the pixels of images from all around, and normals (n, 3), float64.

    Each piece of surface has the weight that cameras give it: the bottom of a slit has next to none.
    """
    rendering, _ = _views(mesh)
    image, row, column = np.nonzero(rendering.mask)
    chosen = rng.permutation(len(image))[:n] if len(image) >= n else rng.integers(len(image), size=n)
    pixels = image[chosen], row[chosen], column[chosen]
    points = rendering.object_coordinates[pixels].astype(np.float64)
    return points, face_areas_normals(mesh)[1][rendering.face_ids[pixels]]


def is_visible(mesh: Mesh, points: FloatArray) -> npt.NDArray[np.bool_]:
    """(N,) whether points (N, 3) on the surface are seen in one of the images from all around."""
    rendering, T_cam_obj = _views(mesh)
    x, y, z = np.moveaxis(transform(T_cam_obj, np.asarray(points, dtype=np.float64)[None]), -1, 0)
    u, v = (np.clip(np.rint(FOCAL_PX * t / z + VIEW_PX / 2).astype(int), 0, VIEW_PX - 1) for t in (x, y))
    depth_m = rendering.depth_m[np.arange(VIEWS)[:, None], v, u]
    return np.asarray(((z - depth_m < BEHIND * _width_m(mesh)) & (depth_m > 0)).any(axis=0))


def _views(mesh: Mesh) -> tuple[Rendering, FloatArray]:
    """Images from `VIEWS` directions, and T_cam_obj (VIEWS, 4, 4)."""
    rotation = view_rotations(VIEWS)
    away = np.array([0, 0, 8 * _width_m(mesh)])  # so far that the rays are nearly parallel
    T_cam_obj = from_rotation_translation(rotation, away - rotation @ bounding_box_center(mesh))
    intrinsics = np.array([FOCAL_PX, FOCAL_PX, VIEW_PX / 2, VIEW_PX / 2])
    near_m = 0.1 * float(away[2])
    crops = Renderer([mesh]).crops(np.zeros(VIEWS, dtype=int), T_cam_obj, intrinsics, VIEW_PX, VIEW_PX, near_m)
    return crops, T_cam_obj


def _width_m(mesh: Mesh) -> float:
    """The diameter of the ball about the bounding box's middle that holds the part."""
    return 2 * float(np.linalg.norm(mesh.vertices[mesh.faces.ravel()] - bounding_box_center(mesh), axis=1).max())


def view_rotations(count: int) -> FloatArray:
    """Rotations (count, 3, 3) whose third rows, the viewing directions, spread evenly over the sphere (Fibonacci)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    z = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], -1)
    x = np.cross(np.eye(3)[np.abs(z).argmin(axis=1)], z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=1)
