"""`binpose grasps`: find the grasps of a part from its CAD model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.text import Text

from binpose.commands.command import Command, console, described, waiting
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.search_config import SearchConfig, SuctionConfig

if TYPE_CHECKING:
    from rich.table import Table

    from binpose_core.parts.grasps import GraspSet
    from binpose_core.parts.objects import ObjectModel


@described
@dataclass(frozen=True, kw_only=True)
class Grasps(Command):
    """Find the grasps of parts in the catalogue, store them there and draw the best ones.

    Example: binpose grasps gearmotor

    objects: Parts of the catalogue, separated by commas, or "all".
    catalogue: Folder of the catalogue.
    own: JSON file with your own grasps of one part, in place of a search (docs/grasps.md).
    export: Also write the grasps to this JSON file.
    gripper: The parallel hand; by default the Franka hand.
    suction: The suction cup.
    search: The search.
    """

    objects: tyro.conf.Positional[str]
    catalogue: Path = Path("objects")
    own: Path | None = None
    export: Path | None = None
    gripper: GripperConfig = field(default_factory=GripperConfig)
    suction: SuctionConfig = field(default_factory=SuctionConfig)
    search: SearchConfig = field(default_factory=SearchConfig)

    def run(self) -> int:
        """Search, store, draw and print; 1 if a part has no grasp."""
        from binpose_core.base.errors import BinposeError
        from binpose_core.parts.catalogue import ALL_OBJECTS, Catalogue

        catalogue = Catalogue(self.catalogue)
        names = catalogue.ids() if self.objects == ALL_OBJECTS else self.objects.split(",")
        if not names:
            raise BinposeError(f"No objects in {self.catalogue}/; expected at least one; add it with `binpose add`.")
        if len(names) > 1 and (self.own or self.export):
            raise BinposeError(f"--own and --export with {len(names)} parts; expected one part; name it.")
        return max(self._one(catalogue.load(name, with_grasps=False)) for name in names)

    def _one(self, part: "ObjectModel") -> int:
        """Make and store the grasps of one part; 1 if there are none."""
        from binpose_core.frames.image_files import encode_png
        from binpose_core.parts.catalogue import GRASP_PICTURE, Catalogue
        from binpose_grasping.grasp_file import write_grasps
        from binpose_grasping.grasp_picture import draw_grasps

        grasps, reason = self._made(part)
        picture = encode_png(draw_grasps(part, grasps, self.gripper, self.suction))
        Catalogue(self.catalogue).store_grasps(part.id, grasps, picture)
        if self.export is not None:
            write_grasps(self.export, part.id, grasps)
        if reason:
            console.print(reason, style="yellow")
            return 1
        console.print(grasp_table(part, grasps))
        console.print(f"{self.catalogue / part.id / GRASP_PICTURE} shows the best ones.")
        return 0

    def _made(self, part: "ObjectModel") -> tuple["GraspSet", str]:
        """The grasps, and the reason if there are none."""
        from binpose_grasping.search import find_grasps, own_grasps

        if self.own is not None:
            return own_grasps(part, self.own, self.gripper, self.suction), ""
        with waiting(f"{part.id} ...") as status:
            found = find_grasps(
                part,
                self.gripper,
                self.search,
                self.suction,
                lambda step: status.update(Text(f"{part.id}: {step} ...")),
            )
        return found.grasps, found.reason


def grasp_table(part: "ObjectModel", grasps: "GraspSet") -> "Table":
    """Number, best quality and widths of the grasps of each tool."""
    from rich import box
    from rich.table import Table

    from binpose_core.parts.grasps import TOOLS

    table = Table(title=part.id, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("tool", "grasps", "best quality", "holds", "width, mm"):
        table.add_column(name)
    for tool, name in enumerate(TOOLS):
        some = grasps.take(grasps.tool == tool)
        if len(some):
            width_mm = 1e3 * some.width_m
            widths = f"{width_mm.min():.1f} - {width_mm.max():.1f}" if tool == 0 else "-"
            best = int(some.quality.argmax())
            table.add_row(
                name, str(len(some)), f"{some.quality[best]:.3f}", f"{100 * some.success[best]:.0f} %", widths
            )
    return table
