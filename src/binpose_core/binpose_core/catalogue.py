"""The parts that the stages know, with everything derived from their meshes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.geometry import FloatArray
from binpose_core.meshes import Mesh, bounding_box_center, decimated, diameter_m
from binpose_core.surface import visible_samples
from binpose_core.symmetries import ContinuousSymmetry, Symmetries
from binpose_core.symmetry_search import find_symmetries

__all__ = ["ContinuousSymmetry", "ObjectModel", "Symmetries", "make_object"]

LOD_FACES = (5000, 1000, 300)
SAMPLES = 4096


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """A part and what is derived from its mesh."""

    id: str
    bop_id: int
    mesh: Mesh
    lods: tuple[Mesh, ...]
    diameter_m: float
    center_m: FloatArray
    symmetries: Symmetries
    points: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    watertight: bool = True

    def lod(self, max_faces: int) -> Mesh:
        """The finest mesh with at most max_faces faces, or the coarsest there is."""
        ladder = sorted((self.mesh, *self.lods), key=lambda mesh: -len(mesh.faces))
        return next((mesh for mesh in ladder if len(mesh.faces) <= max_faces), ladder[-1])


def make_object(mesh: Mesh, id: str, bop_id: int = 1) -> ObjectModel:
    """All derived quantities of a mesh."""
    points, normals = visible_samples(mesh, SAMPLES, np.random.default_rng(0))
    lods = tuple(decimated(mesh, faces) for faces in LOD_FACES if faces < len(mesh.faces))
    return ObjectModel(
        id, bop_id, mesh, lods, diameter_m(mesh), bounding_box_center(mesh), find_symmetries(mesh), points, normals
    )
