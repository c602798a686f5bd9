"""Options for the bin of a simulation."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from binpose.commands.command import described
from binpose_core.base.errors import BinposeError

if TYPE_CHECKING:
    from binpose_simulation.scene import SceneConfig


@described
@dataclass(frozen=True, kw_only=True)
class BinOptions:
    """Options of the commands that simulate bins.

    bin_size: Inner length, width and height of the bin, as L,W,H in --bin-unit; without it and --bin-mesh bins are
        random.
    bin_mesh: Mesh of the bin in --bin-unit, an open box in any upright position.
    bin_unit: Unit of --bin-size and of --bin-mesh.
    """

    bin_size: str = ""
    bin_mesh: Path | None = None
    bin_unit: Literal["mm", "cm", "m", "in"] = "mm"

    def with_bin(self, scene: "SceneConfig") -> "SceneConfig":
        """The scene in the bin of these options, or as it is where they name none.

        Raises:
            BinposeError: for a size that is not three lengths of a bin, or a size and a mesh.
        """
        if not self.bin_size and self.bin_mesh is None:
            return scene
        mesh = None if self.bin_mesh is None else str(self.bin_mesh.resolve())
        content = replace(scene.content, bin_size_m=self._size_m(), bin_mesh=mesh, bin_unit=self.bin_unit)
        return replace(scene, content=content)

    def _size_m(self) -> tuple[float, float, float] | None:
        if not self.bin_size:
            return None
        from binpose_core.meshes.mesh_files import METRES

        try:
            length, width, height = (METRES[self.bin_unit] * float(text) for text in self.bin_size.split(","))
        except ValueError as error:
            raise BinposeError(
                f"--bin-size is {self.bin_size!r}; expected inner length, width and height separated by commas, such "
                "as 300,200,120."
            ) from error
        return length, width, height
