"""Room on the disk: recordings stay within their quota and leave some of the disk to others.

When room is needed the oldest segments of recordings go first. Never removed are: snapshots, recordings that hold a
file called `protected`, files in work, and anything that the recorder did not make. Where removing does not help,
recording stops and says why; it can be started again when somebody has made room.
"""

import shutil
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_metadata import METADATA, RECORDING, segment_paths, write_metadata
from binpose_recording.segment import ACTIVE_SUFFIX, DAMAGED_SUFFIX, SUFFIX

PROTECTED = "protected"


def used_bytes(root: Path) -> int:
    """What all bags under a folder of recordings take, with the damaged files that a repair keeps."""
    suffixes = (SUFFIX, ACTIVE_SUFFIX, DAMAGED_SUFFIX)
    return sum(_size(path) for suffix in suffixes for path in root.glob(f"*/*{suffix}"))


def make_room(root: Path, quota_bytes: float, min_free_bytes: float, bag: Path | None = None) -> list[Path]:
    """Remove the oldest segments until the quota and the free space are kept; returns what was removed.

    Args:
        root: the folder of recordings.
        quota_bytes: what all bags may take together.
        min_free_bytes: what the disk must have free.
        bag: the recording in work, whose folder stays.

    Raises:
        BinposeError: when nothing is left to remove and there is still too little room.
    """
    if not _shortage(root, quota_bytes, min_free_bytes):
        return []
    removed: list[Path] = []
    for path in _removable(root):
        if not _shortage(root, quota_bytes, min_free_bytes):
            return removed
        _remove(path, keep_folder=path.parent == bag)
        removed.append(path)
    if reason := _shortage(root, quota_bytes, min_free_bytes):
        raise BinposeError(reason)
    return removed


def _shortage(root: Path, quota_bytes: float, min_free_bytes: float) -> str:
    used, free = used_bytes(root), shutil.disk_usage(root).free
    remedy = f"no recording in {root} may be removed: take snapshots, protected recordings or *{DAMAGED_SUFFIX} away"
    if used > quota_bytes:
        return (
            f"The recordings take {used / 1e9:.3g} GB of the {quota_bytes / 1e9:.3g} GB they may (quota_gb), and "
            f"{remedy}, or raise it."
        )
    if free < min_free_bytes:
        return (
            f"The disk of {root} has {free / 1e9:.3g} GB free, less than the {min_free_bytes / 1e9:.3g} GB to be left "
            f"(min_free_gb), and {remedy}, or free some space."
        )
    return ""


def _removable(root: Path) -> list[Path]:
    """Whole segments by age; the names of recordings tell when they were begun."""
    recordings = sorted(path for path in root.glob(f"{RECORDING}*") if not (path / PROTECTED).exists())
    return [segment for recording in recordings for segment in segment_paths(recording)]


def _remove(segment: Path, keep_folder: bool) -> None:
    bag = segment.parent
    # The index of the bag first: a power cut in between must not leave it naming a file that is gone.
    write_metadata(bag, without=segment)
    segment.unlink()
    if not keep_folder and {path.name for path in bag.iterdir()} <= {METADATA}:
        shutil.rmtree(bag)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # Renamed or removed in between.
        return 0
