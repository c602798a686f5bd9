"""Texture coordinates of parts: along the machining direction, in metres."""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh


def turned_coordinates(mesh: Mesh, axis: FloatArray) -> npt.NDArray[np.float32]:
    """(F, 3, 2) coordinates in metres of a turned surface: u across the grooves, v along them, around the axis (3,).

    On the jacket u runs along the axis, on the faces of both ends it runs along the radius.
    """
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    along = np.asarray(axis, np.float64) / np.linalg.norm(axis)
    first = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    first /= np.linalg.norm(first)
    height, x, y = corners @ along, corners @ first, corners @ np.cross(along, first)
    radius = np.hypot(x, y)
    angle = np.arctan2(y, x)
    # corners of one face lie on the same side of the cut
    angle = angle[:, :1] + (angle - angle[:, :1] + np.pi) % (2 * np.pi) - np.pi
    flat = np.abs(_normals(corners) @ along) > 0.7
    across = np.where(flat[:, None], radius, height)
    return np.stack([across, angle * radius.mean(1, keepdims=True)], -1).astype(np.float32)


def box_coordinates(mesh: Mesh) -> npt.NDArray[np.float32]:
    """(F, 3, 2) coordinates in metres: each face projected along the axis that is nearest to its normal."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    nearest = np.abs(_normals(corners)).argmax(1)
    others = np.array([[1, 2], [0, 2], [0, 1]])[nearest]
    return np.take_along_axis(corners, others[:, None, :], 2).astype(np.float32)


def _normals(corners: FloatArray) -> FloatArray:
    """(F, 3) unit normals of faces with corners (F, 3, 3)."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30))
