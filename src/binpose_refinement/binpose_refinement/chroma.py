"""Chroma: the part of the colour that light and shadow change least."""

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.meshes.mesh import Mesh


def chroma_of(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(H, W, 2) a and b of CIELAB of an image (H, W, 3)."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    return np.ascontiguousarray(lab[..., 1:])


def vertex_chroma(mesh: Mesh) -> npt.NDArray[np.float32]:
    """(V, 2) chroma of each vertex; zero for a mesh without colours."""
    if mesh.colors is None:
        return np.zeros((len(mesh.vertices), 2), np.float32)
    return chroma_of(mesh.colors[None])[0]


def face_chroma(mesh: Mesh) -> npt.NDArray[np.float32]:
    """(F, 2) mean chroma of each face's corners; zero for a mesh without colours."""
    return vertex_chroma(mesh)[mesh.faces].mean(1)
