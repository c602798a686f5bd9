"""`binpose bag`: list the content and the losses of a recording, and repair it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from binpose.commands.command import Command, console
from binpose_core.base.errors import BinposeError

if TYPE_CHECKING:
    from rich.table import Table

    from binpose_recording.bag_reader import Bag
    from binpose_recording.recovery import Recovery


@dataclass(frozen=True, kw_only=True)
class ShowBag(Command):
    """Show the content and the losses of a ROS 2 bag, or repair a damaged bag. Needs no ROS.

    Example: binpose bag recordings/recording_20260314_091500_000
    """

    path: tyro.conf.Positional[Path]
    """Folder of the bag, or one of its files."""
    repair: bool = False
    """Rewrite damaged and unfinished files first; the damaged files are kept as *.damaged."""

    def run(self) -> int:
        """Repair, read everything and print."""
        from binpose_recording.bag_reader import Bag

        path = self._repair() if self.repair else self.path
        bag = Bag(path)
        frames = frames_text(bag)
        bag.check()
        console.print(topic_table(bag))
        console.print(" ".join([frames, *bag.notes]), markup=False)
        return 0

    def _repair(self) -> Path:
        """Path of the repaired bag; an unfinished file of a killed recorder gets another name."""
        from binpose_recording.recovery import repair_bag

        if not self.path.exists():
            raise BinposeError(f"Nothing at {self.path}; expected a bag; check the path.")
        found = repair_bag(self.path)
        for recovery in found:
            console.print(recovery_text(recovery), markup=False)
        if not found:
            console.print(f"{self.path} is intact: nothing to repair.", markup=False)
        if found and not any(recovery.path for recovery in found) and not self.path.exists():
            raise BinposeError(f"No message in {self.path} could be saved; record again.")
        return found[0].path or self.path if found and not self.path.is_dir() else self.path


def recovery_text(recovery: "Recovery") -> str:
    """The result of repairing a file."""
    kept = f"; the damaged file is kept as {recovery.kept.name}" if recovery.kept else ""
    if recovery.path is None:
        return f"No message could be saved from a file of {recovery.loss.size} bytes{kept}."
    lost = f"lost {recovery.loss.text()}" if recovery.loss else "lost none; the index was rebuilt"
    return f"{recovery.path.name}: {recovery.messages} messages saved, {lost}{kept}."


def topic_table(bag: "Bag") -> "Table":
    """One row per topic."""
    from rich import box
    from rich.table import Table

    start_ns, end_ns = bag.times_ns
    lost, counts, types = bag.loss.messages, bag.counts, bag.types
    size = sum(path.stat().st_size for path in bag.files)
    damaged = f", {bag.loss.count} lost" if lost else ""
    title = f"{sum(counts.values())} messages, {(end_ns - start_ns) / 1e9:.1f} s, {size / 1e6:.1f} MB{damaged}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("topic", overflow="fold")
    table.add_column("type", overflow="fold")
    table.add_column("messages", justify="right")
    if lost:
        table.add_column("lost", justify="right")
    for topic in sorted({*types, *lost}):
        row = [topic or "unknown", types.get(topic, ""), str(counts.get(topic, 0))]
        table.add_row(*row, *([str(lost.get(topic, 0))] if lost else []))
    return table


def frames_text(bag: "Bag") -> str:
    """The number of frames that `binpose estimate` finds in a bag, or why it finds none; and what was left out."""
    from binpose_recording.bag_frames import bag_frames

    try:
        found = bag_frames(bag)
    except BinposeError as error:
        return f"No frames for `binpose estimate`: {error}"
    depth = f" and {found.topics.depth}" if found.topics.depth else ""
    own = [note for note in found.notes if note not in bag.notes]
    return " ".join([f"{len(found.frames)} frames of {found.topics.color}{depth}.", *own])
