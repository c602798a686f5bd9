"""Disk space: limits recordings to their quota and keeps part of the disk free.

When space is needed, the oldest segments of recordings are removed. Snapshots, recordings that contain a file named
`protected`, open files, and all files that the recorder did not write are never removed. If that is not enough, the
recording stops with a reason; it can be started again when there is space.
"""

import shutil
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_metadata import METADATA, RECORDING, segment_paths, write_metadata
from binpose_recording.segment import ACTIVE_SUFFIX, DAMAGED_SUFFIX, SUFFIX

PROTECTED = "protected"


def used_bytes(root: Path) -> int:
    """Total size of all bags in a folder of recordings, including the damaged files kept by a repair."""
    suffixes = (SUFFIX, ACTIVE_SUFFIX, DAMAGED_SUFFIX)
    return sum(_size(path) for suffix in suffixes for path in root.glob(f"*/*{suffix}"))


def make_room(root: Path, quota_bytes: float, min_free_bytes: float, bag: Path | None = None) -> list[Path]:
    """Remove the oldest segments until quota and free space are respected; returns the removed files.

    Args:
        root: the folder of recordings.
        quota_bytes: largest total size of all bags.
        min_free_bytes: least free space on the disk.
        bag: the current recording, whose folder is kept.

    Raises:
        BinposeError: if there is too little space and nothing left to remove.
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
    """Complete segments by age; the names of recordings contain their start times."""
    recordings = sorted(path for path in root.glob(f"{RECORDING}*") if not (path / PROTECTED).exists())
    return [segment for recording in recordings for segment in segment_paths(recording)]


def _remove(segment: Path, keep_folder: bool) -> None:
    bag = segment.parent
    # Update the index of the bag first: after a power cut it must not list a missing file.
    write_metadata(bag, without=segment)
    segment.unlink()
    if not keep_folder and {path.name for path in bag.iterdir()} <= {METADATA}:
        shutil.rmtree(bag)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # renamed or removed meanwhile
        return 0
