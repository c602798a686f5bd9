"""The folder of known parts.

objects/<id>/object.json: id, bop_id, source and its unit, diameter, symmetries in BOP's format: edit these here.
objects/<id>/mesh.ply: the mesh in metres, binary PLY, for viewers and other programs.
objects/<id>/symmetries.png: the part under each of its symmetries, with the differences marked, for a visual check.
objects/<id>/arrays.safetensors: mesh, levels of detail and surface samples; binpose loads this file.
objects/<id>/grasps.safetensors, grasps.png: grasps and a picture of the best ones, once `binpose grasps` has made them.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.errors import BadFile, BinposeError, UnknownObject
from binpose_core.base.files import read_json, to_json, write_bytes, write_json
from binpose_core.frames.image_files import encode_png
from binpose_core.meshes.decimation import reduced
from binpose_core.meshes.mesh_files import ply_bytes, read_mesh
from binpose_core.parts.grasps import GraspSet, grasp_arrays, grasps_from_arrays
from binpose_core.parts.objects import (
    ObjectModel,
    make_object,
    object_entry,
    objects_from_tensors,
    objects_to_tensors,
)
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries
from binpose_core.parts.symmetry_picture import draw_symmetries

__all__ = [
    "ALL_OBJECTS",
    "LIBRARY",
    "Catalogue",
    "ContinuousSymmetry",
    "ObjectModel",
    "Symmetries",
    "make_object",
    "objects_from_tensors",
    "objects_to_tensors",
]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_BOP_NAME = re.compile(r"obj_(\d{6})")
ALL_OBJECTS, LIBRARY = "all", "library"
"""Reserved words that replace an id on the command line: all parts, and the generated parts."""
ENTRY, MESH, ARRAYS, PICTURE = "object.json", "mesh.ply", "arrays.safetensors", "symmetries.png"
GRASPS, GRASP_PICTURE = "grasps.safetensors", "grasps.png"


class Catalogue:
    """Parts in a folder, one subfolder each; a part is stored completely or not at all."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def ids(self) -> list[str]:
        """The known ids, by their BOP numbers."""
        return [entry["id"] for entry in self._entries()]

    def add(
        self,
        path: Path | str,
        id: str,
        unit: str | None = None,
        *,
        bop_id: int | None = None,
        symmetries: Symmetries | None = None,
        replace: bool = False,
        allow_odd_size: bool = False,
        allow_open: bool = False,
        report: Callable[[str], None] = lambda step: None,
    ) -> ObjectModel:
        """Read a mesh, compute everything that is derived from it (seconds) and store it.

        Args:
            path: STL, OBJ, PLY, OFF, glTF or STEP.
            id: the part's name everywhere.
            unit: of the file; inferred when None, see `mesh_files.load_mesh`.
            bop_id: its number in BOP data sets, from 0 on; by default the number in a file name such as obj_000003.ply,
                else the number of the part that it replaces, else the next free one.
            symmetries: replaces those found from the mesh.
            replace: overwrite an existing id instead of raising an error.
            allow_odd_size: accept less than 5 mm and more than 1 m.
            allow_open: accept a mesh that is not closed even after welding and filling small holes.
            report: called with the name of each step before it starts.

        Raises:
            BinposeError: for a mesh or an id that cannot be used; the catalogue is unchanged then.
        """
        self._check_id(id, replace)
        number = self._bop_id(path, id, bop_id)
        report("reading the mesh")
        mesh, unit = read_mesh(path, unit, allow_odd_size)
        if not allow_open and not mesh.watertight:
            raise BadFile(
                f"The mesh {path} is not watertight, even after welding and filling small holes; expected the closed "
                "surface of a solid; export it as one, or add --allow-open to use it as it is.",
                path,
            )
        origin = {"source": Path(path).name, "unit": unit, "source_faces": len(mesh.faces)}
        report(f"reducing it where it is fine ({len(mesh.faces):,} faces)")
        mesh, error_m = reduced(mesh)
        model = make_object(mesh, id, number, symmetries, report)
        report("drawing its symmetries")
        self._write(model, {**origin, "reduction_error_m": error_m}, encode_png(draw_symmetries(model)))
        return model

    def load(self, id: str, with_grasps: bool = True) -> ObjectModel:
        """The part with that id.

        Args:
            id: of the part.
            with_grasps: whether its stored grasps are read.

        Raises:
            BinposeError: if the id is unknown or its files are damaged.
        """
        folder = self.directory / id
        if not _ID.fullmatch(id) or not (folder / ENTRY).is_file():
            known = ", ".join(self.ids()) or "none yet"
            raise UnknownObject(
                f"No object {id!r} in {self.directory}/; known: {known}. Add it with `binpose add`.", [id], self.ids()
            )
        entry = _checked_entry(folder / ENTRY)
        part = objects_from_tensors(_read_arrays(folder / ARRAYS), [entry])[0]
        true_m = part.mesh.diameter_m
        if abs(part.diameter_m - true_m) > 1e-3 * true_m:
            raise BadFile(
                f"{folder / ENTRY} has a diameter of {part.diameter_m:.4g} m, but the part's mesh measures "
                f"{true_m:.4g} m; expected the same; to change its size, add the part again with `binpose add --unit "
                "... --replace`.",
                folder / ENTRY,
            )
        return replaced(part, grasps=_read_grasps(folder / GRASPS, part)) if with_grasps else part

    def store_grasps(self, id: str, grasps: GraspSet, picture: bytes | None = None) -> None:
        """Store the grasps of a part, in place of earlier ones.

        Args:
            id: of a part in the catalogue.
            grasps: with the part's digest in their info under "part".
            picture: PNG of the best ones.

        Raises:
            BinposeError: if the id is unknown, or the place cannot be written to.
        """
        from safetensors.numpy import save

        folder = self.directory / self.load(id, with_grasps=False).id
        arrays = {name: np.ascontiguousarray(array) for name, array in grasp_arrays(grasps).items()}
        write_bytes(folder / GRASPS, save(arrays, {"info": to_json(dict(grasps.info), indent=None)}))
        if picture is not None:
            write_bytes(folder / GRASP_PICTURE, picture)

    def _entries(self) -> list[dict[str, Any]]:
        entries = [_checked_entry(path) for path in self.directory.glob(f"[!.]*/{ENTRY}")]
        return sorted(entries, key=lambda entry: (entry["bop_id"], entry["id"]))

    def _check_id(self, id: str, replace: bool) -> None:
        if not _ID.fullmatch(id):
            raise BinposeError(
                f"Object id {id!r}; expected up to 64 letters, digits, - and _, beginning with a letter or digit; "
                "choose another."
            )
        if id.lower() in (ALL_OBJECTS, LIBRARY):
            raise BinposeError(f"Object id {id!r} is a reserved word; expected a name; choose another.")
        same = [known for known in self.ids() if known.lower() == id.lower()]
        if same and not (replace and same == [id]):
            raise BinposeError(
                f"Object {same[0]!r} is already in {self.directory}/; choose another --id, or add --replace."
            )

    def _bop_id(self, path: Path | str, id: str, bop_id: int | None) -> int:
        entries = self._entries()
        taken = {entry["bop_id"]: entry["id"] for entry in entries if entry["id"] != id}
        named = _BOP_NAME.fullmatch(Path(path).stem)
        if bop_id is None and named is None:
            own = [entry["bop_id"] for entry in entries if entry["id"] == id]
            return int(own[0]) if own else max(taken, default=0) + 1
        number = bop_id if bop_id is not None else int(named.group(1)) if named else 0
        if number < 0 or number in taken:
            owner = f"is that of {taken[number]!r}" if number in taken else "is negative"
            raise BinposeError(
                f"BOP number {number} for object {id!r} {owner}; expected a free number from 0 on; give one with "
                f"--bop-id, for example {max(taken, default=0) + 1}."
            )
        return number

    def _write(self, model: ObjectModel, origin: Mapping[str, Any], picture: bytes) -> None:
        from safetensors.numpy import save

        fresh, old = self.directory / f".{model.id}.new", self.directory / f".{model.id}.old"
        target = self.directory / model.id
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            tensors, _ = objects_to_tensors([model])
            write_bytes(fresh / ARRAYS, save(tensors))
            write_bytes(fresh / MESH, ply_bytes(model.mesh))
            write_bytes(fresh / PICTURE, picture)
            write_json(fresh / ENTRY, {**object_entry(model), **origin})
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
                target.rename(old)
            fresh.rename(target)
        finally:
            if old.exists() and not target.exists():  # interrupted between the two renames
                old.rename(target)
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _checked_entry(path: Path) -> dict[str, Any]:
    entry, id = read_json(path), path.parent.name
    if not isinstance(entry, dict) or entry.get("id") != id or not isinstance(entry.get("bop_id"), int):
        raise BadFile(
            f"{path} does not describe object {id!r}; expected its id and bop_id as `binpose add` writes them; correct "
            f"it, or remove {path.parent} and add the part again.",
            path,
        )
    return entry


def _read_arrays(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise BadFile(
            f"Could not read {path} ({error}); expected what `binpose add` writes; add the part again with --replace.",
            path,
        ) from error


def _read_grasps(path: Path, part: ObjectModel) -> GraspSet | None:
    """The stored grasps; None where there are none.

    Raises:
        BinposeError: for a damaged file, or grasps of another mesh.
    """
    if not path.is_file():
        return None
    again = f"make them again with `binpose grasps {part.id}`"
    try:
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            info = json.loads((file.metadata() or {})["info"])
            grasps = grasps_from_arrays({name: file.get_tensor(name) for name in file.keys()}, info)  # noqa: SIM118
    except Exception as error:
        raise BadFile(
            f"Could not read {path} ({error}); expected what `binpose grasps` writes; {again}.", path
        ) from error
    if info.get("part") != part.digest:
        raise BadFile(f"{path} holds grasps of another mesh or other symmetries of {part.id!r}; {again}.", path)
    return grasps
