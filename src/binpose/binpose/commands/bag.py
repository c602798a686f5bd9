"""`binpose bag`: what a recording holds, and repairing it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from binpose.commands.command import Command, console
from binpose_core.errors import BinposeError

if TYPE_CHECKING:
    from rich.table import Table

    from binpose_self_training.bag_reader import Bag


@dataclass(frozen=True, kw_only=True)
class ShowBag(Command):
    """Show what a bag of ROS 2 holds, or repair one whose recorder was killed. Needs no ROS.

    Example: binpose bag recordings/recording_20260314_091500_000
    """

    path: tyro.conf.Positional[Path]
    """Folder of the bag, or a file of it."""
    repair: bool = False
    """First finish what its recorder left unfinished; damaged files are kept as *.damaged."""

    def run(self) -> int:
        """Repair and print."""
        from binpose_self_training.bag_reader import Bag

        if self.repair:
            self._repair()
        bag = Bag(self.path)
        console.print(topic_table(bag))
        console.print(frames_text(self.path), markup=False)
        return 0

    def _repair(self) -> None:
        from binpose_self_training.recovery import repair_bag

        if not self.path.exists():
            raise BinposeError(f"Nothing at {self.path}; expected a bag; check the path.")
        for found in repair_bag(self.path):
            name = found.path.name if found.path else "nothing"
            console.print(f"{name}: {found.messages} messages saved, {found.lost_bytes} bytes lost", markup=False)


def topic_table(bag: "Bag") -> "Table":
    """A line per topic."""
    from rich import box
    from rich.table import Table

    start_ns, end_ns = bag.times_ns
    size = sum(path.stat().st_size for file in bag.files for path in ([file] if file.is_file() else file.iterdir()))
    title = f"{sum(bag.counts.values())} messages, {(end_ns - start_ns) / 1e9:.1f} s, {size / 1e6:.1f} MB"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("topic", overflow="fold")
    table.add_column("type", overflow="fold")
    table.add_column("messages", justify="right")
    for topic, kind in sorted(bag.types.items()):
        table.add_row(topic, kind, str(bag.counts[topic]))
    return table


def frames_text(path: Path) -> str:
    """How many frames `binpose estimate` finds in a bag, or why none."""
    from binpose_self_training.bag_frames import bag_frames

    try:
        found = bag_frames(path)
    except BinposeError as error:
        return f"No frames for `binpose estimate`: {error}"
    depth = f" and {found.topics.depth}" if found.topics.depth else ""
    return " ".join([f"{len(found.frames)} frames of {found.topics.color}{depth}.", *found.notes])
