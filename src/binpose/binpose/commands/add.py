"""`binpose add`: a mesh becomes a part of the catalogue."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from binpose.commands.command import Command, console


@dataclass(frozen=True, kw_only=True)
class Add(Command):
    """Add a part to the catalogue from its mesh (STL, OBJ, PLY, OFF, glTF).

    Finds its symmetries, diameter and levels of detail, and shows them to be checked.

    Example: binpose add cad/gearmotor.stl --id gearmotor --unit mm
    """

    path: tyro.conf.Positional[Path]
    """The mesh."""
    id: str
    """Name of the part, used everywhere else."""
    unit: Literal["m", "mm", "cm", "inch"] | None = None
    """Unit of the mesh; guessed from its size when not given."""
    catalogue: Path = Path("objects")
    """Folder of the catalogue."""

    def run(self) -> int:
        from binpose_core.catalogue import Catalogue

        with console.status(f"Looking at {self.path.name} ..."):
            model = Catalogue(self.catalogue).add(self.path, self.id, unit=self.unit)
        console.print(object_table(model))
        console.print(f"Added to {self.catalogue}. Next: [bold]binpose train --objects {self.id} --out models/{self.id}[/]")
        return 0


def object_table(model) -> object:
    return model
