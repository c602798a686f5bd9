"""Bags whose writer was killed, or that were damaged later: what can be read becomes a whole bag again.

rosbag2 leaves files of a killed recorder without an index, and neither `ros2 bag play` nor most readers open them. What
can be read is written into a new file, message by message the same bytes, and takes the place of the damaged one.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from binpose_core.base.errors import BinposeError, CannotWrite
from binpose_core.base.files import flush_to_disk
from binpose_recording.bag_copy import copy_messages
from binpose_recording.bag_file import BagFile, Loss
from binpose_recording.bag_metadata import (
    METADATA,
    RECORDING,
    SNAPSHOT,
    agrees_with_files,
    bag_segments,
    metadata_text,
    names_all_segments,
    segment_paths,
    write_metadata,
)
from binpose_recording.bag_opening import COMPRESSED, SQLITE_SUFFIX, open_file
from binpose_recording.lost_topics import described_topics
from binpose_recording.segment import ACTIVE_SUFFIX, DAMAGED_SUFFIX, SUFFIX
from binpose_recording.sqlite_file import SIDE_SUFFIXES


@dataclass(frozen=True)
class Recovery:
    """What became of an unfinished or damaged file.

    path: of the whole file, None where it held no message that can be read.
    messages: how many it holds.
    loss: what cannot be read of the damaged file.
    kept: where the damaged file is now; None where it is not kept.
    """

    path: Path | None
    messages: int
    loss: Loss
    kept: Path | None = None


def recover_recordings(root: Path) -> list[Recovery]:
    """Finish every bag under a folder of recordings whose recorder is dead; those of living ones stay as they are.

    Raises:
        BinposeError: when the disk does not take it. What was done so far is kept, and the rest can be done later.
    """
    unfinished = {path.parent for path in root.glob(f"*/*{ACTIVE_SUFFIX}")}
    recordings = [bag for prefix in (RECORDING, SNAPSHOT) for bag in root.glob(f"{prefix}*") if bag.is_dir()]
    unfinished.update(bag for bag in recordings if not names_all_segments(bag))
    return [recovery for bag in sorted(unfinished) for recovery in recover_bag(bag)]


def recover_bag(bag: Path) -> list[Recovery]:
    """Finish the segments that a killed recorder left in a bag; errors as in `recover_recordings`."""
    recoveries = []
    try:
        for path in sorted(bag.glob(f"*{ACTIVE_SUFFIX}")):
            with path.open("rb") as stream:
                if not _is_free(stream):
                    continue
                target = path.with_name(path.name.removesuffix(ACTIVE_SUFFIX) + SUFFIX)
                if not target.exists():  # Else its recorder died between two names of the same file.
                    recoveries.append(_rewritten(path, target))
                path.unlink()
        flush_to_disk(bag)
        if segment_paths(bag):
            if recoveries or not names_all_segments(bag):
                write_metadata(bag)
        elif not any(bag.iterdir()):
            bag.rmdir()
    except OSError as error:
        raise CannotWrite(
            f"Could not finish the bag {bag}: {error.strerror or error}; what is whole on the disk is kept; free some "
            "space and repair it with `binpose bag --repair`.",
            bag,
        ) from error
    return recoveries


def repair_bag(bag: Path) -> list[Recovery]:
    """Write the damaged files of a bag anew, which any recorder made: a folder or one file.

    Every byte is read. The damaged files are kept as *.damaged; metadata.yaml is made again where it does not say what
    the files say.

    Returns:
        What became of each file that was not whole; empty where all were.

    Raises:
        BinposeError: for a file that a living recorder writes, or when the disk does not take it.
    """
    if not bag.is_dir():
        if not bag.name.endswith((SUFFIX, ACTIVE_SUFFIX, SQLITE_SUFFIX)):
            raise BinposeError(
                f"{bag} is no file of a bag; expected a folder, *{SUFFIX} or *{SQLITE_SUFFIX}; nothing was changed."
            )
        return [found for found in [_repaired(bag)] if found is not None]
    if compressed := sorted(bag.glob(f"*{COMPRESSED}")):
        raise BinposeError(
            f"{compressed[0]} is compressed as a whole; expected files that are not; decompress them (`zstd -d`), "
            f"remove {METADATA} and repair again."
        )
    recoveries = recover_bag(bag)
    recoveries += [found for path in bag_segments(bag) if (found := _repaired(path)) is not None]
    if bag_segments(bag) and not agrees_with_files(bag):
        write_metadata(bag)
    return recoveries


def _repaired(path: Path) -> Recovery | None:
    """What became of a file; None where it is whole."""
    name = path.name.removesuffix(ACTIVE_SUFFIX).removesuffix(SUFFIX) + SUFFIX
    target = path if path.name.endswith(SQLITE_SUFFIX) else path.with_name(name)
    try:
        with path.open("rb") as stream:
            if not _is_free(stream):
                raise BinposeError(f"{path} is being written; expected a bag whose recorder has ended; stop it first.")
            with _merged(path) as merged:
                return None if merged == path and _is_whole(path) else _replaced(path, merged, target)
    except OSError as error:
        raise CannotWrite(
            f"Could not repair {path}: {error.strerror or error}; it is as it was; free some space and try again.", path
        ) from error


def _replaced(path: Path, merged: Path, target: Path) -> Recovery:
    """Write a file anew and keep the damaged one."""
    temporary = _temporary(target)
    try:
        recovery = _copied(merged, temporary)
        kept = _free_name(path)
        for suffix in SIDE_SUFFIXES:
            side = path.with_name(path.name + suffix)
            if side.exists():  # It would be taken for one of the new file's.
                side.replace(kept.with_name(kept.name.removesuffix(DAMAGED_SUFFIX) + suffix + DAMAGED_SUFFIX))
        path.replace(kept)
        if recovery.messages:
            temporary.replace(target)
        flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return Recovery(target if recovery.messages else None, recovery.messages, recovery.loss, kept)


def _rewritten(path: Path, target: Path) -> Recovery:
    """Write the readable messages of a file to `target`, which is whole or absent."""
    temporary = _temporary(target)
    try:
        recovery = _copied(path, temporary)
        if recovery.messages:
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return Recovery(target if recovery.messages else None, recovery.messages, recovery.loss)


def _copied(path: Path, temporary: Path) -> Recovery:
    """Bring what can be read of a file to the disk."""
    file = _opened(path)
    if file is None:
        return Recovery(None, 0, Loss(places=1, size=path.stat().st_size))
    try:
        temporary.unlink(missing_ok=True)
        count = copy_messages(file, temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        return Recovery(None, count, file.loss)
    finally:
        file.close()


def _opened(path: Path) -> BagFile | None:
    """A file that has a message; None for another."""
    try:
        return open_file(path, described_topics(metadata_text(path.parent)))
    except BinposeError:
        return None


def _is_whole(path: Path) -> bool:
    file = _opened(path)
    if file is None:
        return False
    try:
        file.check()
        return file.is_whole
    finally:
        file.close()


@contextmanager
def _merged(path: Path) -> Iterator[Path]:
    """The file itself, or a copy of it into which SQLite merged what a killed recorder left beside it."""
    sides = [path.with_name(path.name + suffix) for suffix in SIDE_SUFFIXES if path.name.endswith(SQLITE_SUFFIX)]
    sides = [side for side in sides if side.is_file()]
    if not sides:
        yield path
        return
    copy = path.with_name(f".merging.{path.name}")
    try:
        for source in (path, *sides):
            shutil.copyfile(source, copy.with_name(copy.name + source.name.removeprefix(path.name)))
        try:
            database = sqlite3.connect(copy)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.close()
        except sqlite3.Error:
            pass  # What SQLite does not merge is lost; the file itself is still read.
        yield copy
    finally:
        for suffix in ("", "-shm", *SIDE_SUFFIXES):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _free_name(path: Path) -> Path:
    """A name for a damaged file that no earlier repair has taken."""
    kept, number = path.with_name(path.name + DAMAGED_SUFFIX), 1
    while kept.exists():
        kept, number = path.with_name(f"{path.name}.{number}{DAMAGED_SUFFIX}"), number + 1
    return kept


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.recovering")


def _is_free(stream: BinaryIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
