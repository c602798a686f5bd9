"""Meshes one after the other in flat arrays, as kernels want them."""

from collections.abc import Sequence

import numpy as np

from binpose_core.meshes.mesh import Mesh


class PackedMeshes:
    """A fixed sequence of meshes.

    Attributes:
        meshes: as they were given.
        vertices: (V, 3) float64 of all meshes, metres, each in its own object frame.
        faces: (F, 3) int32 of all meshes, each with indices into its own vertices.
        vertex_start, face_start: (len + 1,) int64; mesh m has the rows start[m]..start[m + 1] - 1.
        normals: (F, 3) float32 unit normals by the winding, object frame; zero for a degenerate face.
        offsets: (F,) float32, metres: a face's plane is normal . point = offset.
    """

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        self.meshes = tuple(meshes)
        self.vertices = np.concatenate([np.zeros((0, 3)), *(m.vertices for m in meshes)], dtype=np.float64)
        self.faces = np.concatenate([np.zeros((0, 3), np.int32), *(m.faces for m in meshes)], dtype=np.int32)
        self.vertex_start = np.cumsum([0, *(len(m.vertices) for m in meshes)]).astype(np.int64)
        self.face_start = np.cumsum([0, *(len(m.faces) for m in meshes)]).astype(np.int64)
        normals = [mesh.face_normals.astype(np.float32) for mesh in meshes]
        offsets = [(m.vertices[m.faces[:, 0]] * n).sum(-1) for m, n in zip(meshes, normals, strict=True)]
        self.normals = np.concatenate([np.zeros((0, 3)), *normals], dtype=np.float32)
        self.offsets = np.concatenate([np.zeros(0), *offsets], dtype=np.float32)

    def __len__(self) -> int:
        return len(self.meshes)
