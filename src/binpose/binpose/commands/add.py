"""`binpose add`: add a part to the catalogue from its mesh."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tyro
from rich.text import Text

from binpose.commands.command import Command, console, waiting

if TYPE_CHECKING:
    from rich.table import Table

    from binpose_core.parts.catalogue import ObjectModel, Symmetries


@dataclass(frozen=True, kw_only=True)
class Add(Command):
    """Add a part to the catalogue from its mesh (STL, OBJ, PLY, OFF, glTF, STEP).

    Computes symmetries, diameter and levels of detail, and prints them for a check.

    Example: binpose add cad/gearmotor.stl --id gearmotor --unit mm
    """

    path: tyro.conf.Positional[Path]
    """Mesh file."""
    id: str
    """Name of the part in all other commands."""
    unit: Literal["m", "mm", "cm", "in"] | None = None
    """Unit of the mesh; by default guessed from its size."""
    catalogue: Path = Path("objects")
    """Folder of the catalogue."""
    bop_id: int | None = None
    """Number in BOP data sets, from 0; by default that in a name such as obj_000003.ply, or the next free number."""
    replace: bool = False
    """Replace the part with this name."""
    allow_odd_size: bool = False
    """Accept a part smaller than 5 mm or larger than 1 m."""
    allow_open: bool = False
    """Accept a mesh that is not watertight."""

    def run(self) -> int:
        """Read the mesh, compute, store and print."""
        from binpose_core.meshes.mesh_files import standard_unit
        from binpose_core.parts.catalogue import PICTURE, Catalogue

        with waiting(f"{self.path.name} ...") as status:
            model = Catalogue(self.catalogue).add(
                self.path,
                self.id,
                self.unit,
                bop_id=self.bop_id,
                replace=self.replace,
                allow_odd_size=self.allow_odd_size,
                allow_open=self.allow_open,
                report=lambda step: status.update(Text(f"{self.path.name}: {step} ...")),
            )
        console.print(object_table(model))
        if self.unit is None and standard_unit(self.path) is None:
            console.print(self._guessed(model), style="yellow")
        self._print_reduction(model)
        console.print(
            f"Added to {self.catalogue}/. If the size is wrong, add it again with --unit and --replace. "
            f"{self.catalogue / self.id / PICTURE} shows the part under each symmetry; correct wrong symmetries in "
            f"{self._entry()}"
        )
        console.print("Next:", Text(f"binpose train --objects {self.id} --out models/{self.id}", "bold"))
        return 0

    def _guessed(self, model: "ObjectModel") -> str:
        """The guessed unit, and the size of the part in other units that are plausible."""
        from binpose_core.base.files import read_json
        from binpose_core.meshes.mesh_files import METRES, fitting_units

        unit = read_json(self._entry())["unit"]
        size = model.diameter_m / METRES[unit]
        others = [f"{1e3 * size * METRES[u]:.3g} mm in {u}" for u in fitting_units(size) if u != unit]
        guess = f"The unit is a guess: {unit}"
        return f"{guess}; the part would measure {', '.join(others)}." if others else f"{guess}."

    def _print_reduction(self, model: "ObjectModel") -> None:
        from binpose_core.base.files import read_json

        entry = read_json(self._entry())
        if entry["source_faces"] > len(model.mesh.faces):
            console.print(
                f"The mesh was reduced from {entry['source_faces']:,} faces to {len(model.mesh.faces):,}, which moves "
                f"its surface by up to {1e3 * entry['reduction_error_m']:.3f} mm."
            )

    def _entry(self) -> Path:
        return self.catalogue / self.id / "object.json"


def object_table(model: "ObjectModel") -> "Table":
    """The properties of a part, one row each."""
    from rich import box
    from rich.table import Table

    table = Table(title=model.id, title_justify="left", show_header=False, box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in object_facts(model):
        table.add_row(Text(name, "dim"), value)
    return table


def object_facts(model: "ObjectModel") -> list[tuple[str, str]]:
    """(name, text) of each property of a part."""
    extent_mm = 1e3 * np.ptp(model.mesh.vertices, axis=0)
    levels = zip(model.lods, model.lod_errors_m, strict=False)
    details = ", ".join(f"{len(lod.faces)} faces ({1e3 * error:.2f} mm deviation)" for lod, error in levels)
    return [
        ("number", str(model.bop_id)),
        ("size", " x ".join(f"{side:.1f}" for side in extent_mm) + " mm"),
        ("diameter", f"{1e3 * model.diameter_m:.1f} mm"),
        ("faces", str(len(model.mesh.faces))),
        ("watertight", "yes" if model.watertight else "no"),
        ("symmetries", symmetry_text(model.symmetries)),
        ("nearly symmetric", near_text(model.symmetries)),
        ("levels of detail", details or "none needed"),
    ]


def symmetry_text(symmetries: "Symmetries") -> str:
    """The symmetries in words: rotations about axes, and the number of poses that look the same."""
    axes = [f"any rotation about {_axis(line.axis)}" for line in symmetries.continuous]
    poses = len(symmetries.discrete)
    if poses > 1:
        axes.append(f"{poses} poses that look the same")
    return ", ".join(axes) or "none"


def near_text(symmetries: "Symmetries") -> str:
    """The number of poses that differ only by a detail."""
    count = len(symmetries.near)
    return "no" if not count else f"{count} pose{'s that differ' if count > 1 else ' that differs'} by a detail"


def _axis(axis: np.ndarray) -> str:
    """The name of a coordinate axis, or the direction in numbers."""
    nearest = int(np.abs(axis).argmax())
    return "xyz"[nearest] if abs(axis[nearest]) > 0.9999 else f"({', '.join(f'{v:.2f}' for v in axis)})"
