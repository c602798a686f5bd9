"""The surface of a part that a camera outside can see.

CAD assemblies hide balls, windings and screws inside. Hidden surface must neither be matched with
observed points nor break a symmetry.
"""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.meshes.mesh import Mesh, sample_faces
from binpose_core.rendering.orbit import Orbit, view_rotations

VIEWS, VIEW_PX = 60, 160
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
    normals = mesh.face_normals[face_ids[kept]]
    return points[kept].astype(np.float32), normals.astype(np.float32)


def seen_samples(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Points (n, 3) in metres drawn from the pixels of images from all around, and normals (n, 3), float64.

    Each piece of surface has the weight that cameras give it: the bottom of a slit has next to none.
    """
    rendering = Orbit(mesh, view_rotations(VIEWS), VIEW_PX).render()
    image, row, column = np.nonzero(rendering.mask)
    chosen = rng.permutation(len(image))[:n] if len(image) >= n else rng.integers(len(image), size=n)
    pixels = image[chosen], row[chosen], column[chosen]
    points = rendering.object_coordinates[pixels].astype(np.float64)
    return points, mesh.face_normals[rendering.face_ids[pixels]]


def is_visible(mesh: Mesh, points: FloatArray) -> npt.NDArray[np.bool_]:
    """(N,) whether points (N, 3) on the surface are seen in one of the images from all around."""
    orbit = Orbit(mesh, view_rotations(VIEWS), VIEW_PX)
    fx, fy, cx, cy = orbit.intrinsics
    x, y, z = np.moveaxis(transform(orbit.T_cam_obj, np.asarray(points, dtype=np.float64)[None]), -1, 0)
    u = np.clip(np.rint(fx * x / z + cx).astype(int), 0, VIEW_PX - 1)
    v = np.clip(np.rint(fy * y / z + cy).astype(int), 0, VIEW_PX - 1)
    depth_m = orbit.render().depth_m[np.arange(VIEWS)[:, None], v, u]
    return np.asarray(((z - depth_m < BEHIND * orbit.width_m) & (depth_m > 0)).any(axis=0))
