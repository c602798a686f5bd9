"""Bags whose writer was killed: what lies whole on the disk becomes a bag again, message by message the same bytes.

rosbag2 leaves such files without an index, and neither `ros2 bag play` nor most readers open them. Chunks are written
one after the other, so all but the last are whole: they are read up to the first that is not, and written anew.
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mcap.records import Channel, McapRecord, Message, Schema
from mcap.writer import Writer

from binpose_core.errors import BinposeError
from binpose_self_training.bag_metadata import (
    RECORDING,
    SNAPSHOT,
    is_whole,
    names_all_segments,
    segment_paths,
    write_metadata,
)
from binpose_self_training.mcap_records import whole_records
from binpose_self_training.segment import (
    ACTIVE_SUFFIX,
    DAMAGED_SUFFIX,
    SUFFIX,
    mcap_writer,
    publish,
    sync_directory,
)


@dataclass(frozen=True)
class Recovery:
    """What became of an unfinished file.

    path: of the whole file, None where it held no whole message.
    messages: how many it holds.
    lost_bytes: of the file that belong to no whole record.
    """

    path: Path | None
    messages: int
    lost_bytes: int


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
                    recoveries.append(rewrite(stream, target))
                path.unlink()
        sync_directory(bag)
        if segment_paths(bag):
            write_metadata(bag)
        elif not any(bag.iterdir()):
            bag.rmdir()
    except OSError as error:
        raise BinposeError(
            f"Could not finish the bag {bag}: {error.strerror or error}; what is whole on the disk is kept; free some "
            "space and repair it with `binpose bag --repair`."
        ) from error
    return recoveries


def repair_bag(bag: Path) -> list[Recovery]:
    """Finish a bag that any recorder left damaged, a folder or one MCAP file; the damaged files become *.damaged.

    Raises:
        BinposeError: for a file that a living recorder writes, or when the disk does not take it.
    """
    if bag.is_dir():
        recoveries = recover_bag(bag)
        recoveries += [_repaired(path) for path in segment_paths(bag) if not is_whole(path)]
        if segment_paths(bag):
            write_metadata(bag)
        return recoveries
    if not bag.name.endswith((SUFFIX, ACTIVE_SUFFIX)):
        raise BinposeError(f"{bag} is no MCAP file; expected a folder with *.mcap or such a file; nothing was changed.")
    return [] if is_whole(bag) else [_repaired(bag)]


def rewrite(stream: BinaryIO, path: Path) -> Recovery:
    """Write the whole messages of a file to `path`, in their order and with their bytes; `path` is whole or absent.

    Raises:
        OSError: when the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.recovering")
    try:
        with temporary.open("wb") as out:
            copy, whole_bytes = _Copy(mcap_writer(out, "zstd")), 0
            for records, size in whole_records(stream):
                whole_bytes += size
                for record in records:
                    copy(record)
            if copy.messages:
                copy.writer.finish()
                publish(out, temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return Recovery(path if copy.messages else None, copy.messages, os.fstat(stream.fileno()).st_size - whole_bytes)


class _Copy:
    """Writes records of one file into another, which numbers schemas and channels by itself."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.messages = 0
        self._schemas: dict[int, int] = {0: 0}
        self._channels: dict[int, int] = {}

    def __call__(self, record: McapRecord) -> None:
        if isinstance(record, Schema) and record.id not in self._schemas:
            self._schemas[record.id] = self.writer.register_schema(record.name, record.encoding, record.data)
        elif isinstance(record, Channel) and record.id not in self._channels and record.schema_id in self._schemas:
            self._channels[record.id] = self.writer.register_channel(
                record.topic, record.message_encoding, self._schemas[record.schema_id], record.metadata
            )
        elif isinstance(record, Message) and record.channel_id in self._channels:
            channel = self._channels[record.channel_id]
            self.writer.add_message(channel, record.log_time, record.data, record.publish_time, record.sequence)
            self.messages += 1


def _repaired(path: Path) -> Recovery:
    whole = path.with_name(path.name.removesuffix(ACTIVE_SUFFIX).removesuffix(SUFFIX) + SUFFIX)
    damaged = path.with_name(path.name + DAMAGED_SUFFIX)
    try:
        with path.open("rb") as stream:
            if not _is_free(stream):
                raise BinposeError(f"{path} is being written; expected a bag whose recorder has ended; stop it first.")
            path.replace(damaged)
            return rewrite(stream, whole)
    except OSError as error:
        if damaged.exists() and not path.exists():
            damaged.replace(path)
        raise BinposeError(
            f"Could not repair {path}: {error.strerror or error}; it is as it was; free some space and try again."
        ) from error


def _is_free(stream: BinaryIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
