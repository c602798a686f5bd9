"""A part: its mesh and everything that is derived from it once, when it is added to the catalogue."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import to_json
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.decimation import levels_of_detail
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.grasps import GraspSet, grasp_arrays, grasps_from_arrays
from binpose_core.parts.symmetries import Symmetries, motions_to_mm
from binpose_core.parts.symmetry_search import find_symmetries
from binpose_core.rendering.surface import visible_samples

POINTS = 4096
# A level of detail may have this many times the requested faces: simplifiers stop before they distort the shape.
ABOUT = 1.5

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """A part and the data derived from its mesh; lengths in metres, in the frame of the CAD file.

    bop_id: its number in BOP data sets.
    lods: decimated meshes, descending; empty if the mesh is coarse already.
    diameter_m: the largest distance between two vertices, as BOP defines it.
    center_m: (3,) float64, the centre of the axis-aligned bounding box.
    points, normals: (N, 3) float32, in random order, spread evenly over the surface that is visible from outside.
    watertight: whether the mesh is closed. An open mesh can be rendered and trained, but its inside is undefined.
    lod_errors_m: largest distance of each level from the mesh.
    grasps: found with `binpose grasps`; None where it has not been run.
    """

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
    lod_errors_m: tuple[float, ...] = ()
    grasps: GraspSet | None = None

    def lod(self, max_faces: int) -> Mesh:
        """The finest mesh with about max_faces faces (at most half more), or the coarsest available."""
        ladder = (self.mesh, *self.lods)
        return next((mesh for mesh in ladder if len(mesh.faces) <= ABOUT * max_faces), ladder[-1])

    @cached_property
    def box_size_m(self) -> FloatArray:
        """(3,) float64 sides of the axis-aligned bounding box."""
        return np.ptp(self.mesh.vertices, axis=0).astype(np.float64)

    def center_in(self, T_cam_obj: FloatArray) -> FloatArray:
        """(..., 3) the centre of the bounding box in the camera frame, at poses (..., 4, 4)."""
        return T_cam_obj[..., :3, :3] @ self.center_m + T_cam_obj[..., :3, 3]

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of everything that images and poses of the part depend on: its mesh and its symmetries."""
        symmetries = {key: value for key, value in object_entry(self).items() if key.startswith("symmetries_")}
        arrays = [
            array.tobytes() for array in (self.mesh.vertices, self.mesh.faces, self.mesh.colors) if array is not None
        ]
        return hashlib.sha256(b"".join([*arrays, to_json(symmetries).encode()])).hexdigest()


def make_object(
    mesh: Mesh,
    id: str,
    bop_id: int = 1,
    symmetries: Symmetries | None = None,
    report: Callable[[str], None] = lambda step: None,
) -> ObjectModel:
    """A part from its mesh in metres; everything else is derived from it (seconds), deterministically.

    Args:
        mesh: vertices in metres.
        id: its name everywhere.
        bop_id: its number in BOP data sets.
        symmetries: replaces those found from the mesh.
        report: called with the name of each step before it starts.
    """
    size_m = mesh.diameter_m if len(mesh.faces) else 0.0
    if size_m == 0:
        raise BinposeError(f"The mesh of {id!r} has no surface; expected triangles with an area; check the file.")
    report("sampling the visible surface")
    points, normals = visible_samples(mesh, POINTS, np.random.default_rng(0))
    report("reducing it to levels of detail")
    lods, errors_m = levels_of_detail(mesh)
    if symmetries is None:
        report("finding its symmetries")
        symmetries = find_symmetries(mesh)
    return ObjectModel(
        id=id,
        bop_id=bop_id,
        mesh=mesh,
        lods=lods,
        diameter_m=size_m,
        center_m=mesh.box_center_m,
        symmetries=symmetries,
        points=points,
        normals=normals,
        watertight=mesh.watertight,
        lod_errors_m=errors_m,
    )


def objects_to_tensors(objects: Sequence[ObjectModel]) -> tuple[Tensors, list[dict[str, Any]]]:
    """Parts as named arrays and JSON entries, so that a model bundle needs no catalogue.

    Returns:
        arrays ``<id>/vertices``, ``<id>/faces``, ``<id>/points``, ``<id>/normals``, ``<id>/lod<k>/vertices``,
        ``<id>/lod<k>/faces`` in metres, ``<id>/colors`` if the mesh has colours, ``<id>/grasps/...`` if it has grasps;
        and an entry per part, in the same order.
    """
    tensors: Tensors = {}
    for part in objects:
        tensors |= {f"{part.id}/points": part.points, f"{part.id}/normals": part.normals}
        for name, mesh in (("", part.mesh), *((f"lod{k}/", lod) for k, lod in enumerate(part.lods))):
            tensors |= {f"{part.id}/{name}vertices": mesh.vertices, f"{part.id}/{name}faces": mesh.faces}
        if part.mesh.colors is not None:
            tensors[f"{part.id}/colors"] = part.mesh.colors
        if part.grasps is not None:
            tensors |= {f"{part.id}/grasps/{name}": array for name, array in grasp_arrays(part.grasps).items()}
    return tensors, [object_entry(part) for part in objects]


def objects_from_tensors(
    tensors: Mapping[str, npt.NDArray[Any]], infos: Sequence[Mapping[str, Any]]
) -> list[ObjectModel]:
    """The parts written by `objects_to_tensors`, in the order of their entries."""
    return [_from_tensors(tensors, info) for info in infos]


def object_entry(part: ObjectModel) -> dict[str, Any]:
    """A part's JSON entry: everything except arrays, with its symmetries in BOP's format (millimetres)."""
    return {
        "id": part.id,
        "bop_id": part.bop_id,
        "diameter_m": part.diameter_m,
        "center_m": [float(x) for x in part.center_m],
        "watertight": part.watertight,
        "lod_errors_m": list(part.lod_errors_m),
        **part.symmetries.to_bop(),
        "symmetries_near": motions_to_mm(part.symmetries.near),
        **({} if part.grasps is None else {"grasps": dict(part.grasps.info)}),
    }


def _from_tensors(tensors: Mapping[str, npt.NDArray[Any]], info: Mapping[str, Any]) -> ObjectModel:
    try:
        id = str(info["id"])
        mesh = _mesh(tensors, f"{id}/")
        lods = tuple(_mesh(tensors, f"{id}/lod{k}/") for k in range(len(info["lod_errors_m"])))
        return ObjectModel(
            id=id,
            bop_id=int(info["bop_id"]),
            mesh=mesh,
            lods=lods,
            diameter_m=float(info["diameter_m"]),
            center_m=np.array(info["center_m"], dtype=np.float64),
            symmetries=Symmetries.from_bop(info, info.get("symmetries_near", ())),
            points=np.asarray(tensors[f"{id}/points"], dtype=np.float32),
            normals=np.asarray(tensors[f"{id}/normals"], dtype=np.float32),
            watertight=bool(info["watertight"]),
            lod_errors_m=tuple(float(error) for error in info["lod_errors_m"]),
            grasps=_grasps(tensors, info, f"{id}/grasps/"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BinposeError(
            f"The stored part {info.get('id')!r} is incomplete ({error!r}); expected what `binpose add` writes; "
            "add it again."
        ) from error


def _mesh(tensors: Mapping[str, npt.NDArray[Any]], prefix: str) -> Mesh:
    return Mesh(
        np.ascontiguousarray(tensors[f"{prefix}vertices"], dtype=np.float32),
        np.ascontiguousarray(tensors[f"{prefix}faces"], dtype=np.int32),
        tensors.get(f"{prefix}colors"),
    )


def _grasps(tensors: Mapping[str, npt.NDArray[Any]], info: Mapping[str, Any], prefix: str) -> GraspSet | None:
    if "grasps" not in info:
        return None
    return grasps_from_arrays(
        {key.removeprefix(prefix): array for key, array in tensors.items() if key.startswith(prefix)}, info["grasps"]
    )
