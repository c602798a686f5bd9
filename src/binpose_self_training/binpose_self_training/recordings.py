"""Opens the recordings that a user names: bags, data sets, folders of images, and folders that hold bags."""

from collections.abc import Iterable
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_reader import is_bag
from binpose_recording.inputs import open_inputs
from binpose_self_training.recorded_frames import NamedFrames


def open_recordings(paths: Iterable[Path], split: str | None = None) -> tuple[list[NamedFrames], list[str]]:
    """The recordings at the paths, and a sentence about each bag of a folder that was left out.

    Args:
        paths: inputs of `open_inputs`, or folders whose subfolders are bags.
        split: of BOP data sets with several.

    Raises:
        BinposeError: for no path, one that cannot be opened, or a folder of which no bag can.
    """
    found: list[NamedFrames] = []
    notes: list[str] = []
    for path in paths:
        bags = bags_in(path)
        if bags:
            found += _of_folder(path, bags, notes)
        else:
            found.append(NamedFrames(path, open_inputs(path, split).frames))
    if not found:
        raise BinposeError(
            "No recording was named; expected at least one bag, folder of bags, BOP data set or folder of images; name "
            "one."
        )
    return found, notes


def bags_in(path: Path) -> list[Path]:
    """The subfolders of a folder that are bags, in the order of their names; empty for a bag and other inputs."""
    if not path.is_dir() or is_bag(path):
        return []
    return sorted(item for item in path.iterdir() if item.is_dir() and is_bag(item))


def _of_folder(folder: Path, bags: Iterable[Path], notes: list[str]) -> list[NamedFrames]:
    """The bags of a folder that can be read: one that is damaged does not keep the others away.

    Of a bag that is still recorded, the files that are complete are read.
    """
    found, problems = [], []
    for bag in bags:
        try:
            found.append(NamedFrames(bag, open_inputs(bag).frames))
        except BinposeError as error:
            problems.append(f"{bag} was left out: {error}")
    if not found:
        raise BinposeError(f"No bag in {folder} can be read ({problems[0]}); expected at least one; record again.")
    notes += problems
    return found
