"""Views of one part from all around, from so far that the rays are nearly parallel."""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.renderer import Renderer, Rendering

WIDTHS_AWAY, FILLED = 8, 0.9


class Orbit:
    """Cameras around a part, each looking at the middle of its bounding box.

    Args:
        mesh: of the part, in metres.
        rotations: (V, 3, 3) of the cameras, whose third rows are the viewing directions in the part's frame.
        size_px: side of the square images, of which the part fills `FILLED`.

    Attributes:
        width_m: the diameter of the ball about the bounding box's middle that holds the part.
        T_cam_obj: (V, 4, 4) of the cameras.
        intrinsics: (4,) fx, fy, cx, cy in pixels.
    """

    def __init__(self, mesh: Mesh, rotations: FloatArray, size_px: int) -> None:
        center = mesh.box_center_m
        self.size_px = size_px
        self.width_m = 2 * float(np.linalg.norm(mesh.vertices[mesh.faces.ravel()] - center, axis=1).max())
        away = np.array([0, 0, WIDTHS_AWAY * self.width_m])
        self.T_cam_obj = from_rotation_translation(rotations, away - rotations @ center)
        focal = WIDTHS_AWAY * FILLED * size_px
        self.intrinsics = np.array([focal, focal, size_px / 2, size_px / 2])
        self._renderer = Renderer([mesh])

    def render(self, views: npt.NDArray[np.integer] | None = None, motion: FloatArray | None = None) -> Rendering:
        """Images of the part from the cameras `views` (by default all), after a motion T_obj_obj (4, 4) of the part."""
        T_cam_obj = self.T_cam_obj if views is None else self.T_cam_obj[views]
        if motion is not None:
            T_cam_obj = T_cam_obj @ motion
        ids, near_m = np.zeros(len(T_cam_obj), dtype=int), 0.1 * WIDTHS_AWAY * self.width_m
        return self._renderer.crops(ids, T_cam_obj, self.intrinsics, self.size_px, self.size_px, near_m)


def view_rotations(count: int) -> FloatArray:
    """Rotations (count, 3, 3) whose third rows, the viewing directions, spread evenly over the sphere (Fibonacci)."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    return looking_along(np.stack([ring * np.cos(turn), ring * np.sin(turn), height], -1))


def looking_along(directions: FloatArray) -> FloatArray:
    """Rotations (N, 3, 3) whose third rows are the directions (N, 3) of unit length."""
    x = np.cross(np.eye(3)[np.abs(directions).argmin(axis=1)], directions)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(directions, x), directions], axis=1)
