"""One file of a bag: MCAP as written by rosbag2, valid on the disk up to the last `sync`.

While it is written, it is named `<name>.mcap.active`; `close` renames it. So every `.mcap` file is complete, and files
of killed processes are recognised by their names (`binpose_recording.recovery`). It is written with the `mcap` library,
because unlike rosbags' writer it can end a chunk at any time, and writes a checksum for each. The checksum detects a
chunk that a power cut truncated.
"""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

from mcap.writer import CompressionType, Writer
from rosbags.interfaces import Qos
from rosbags.rosbag2.metadata import dump_qos_v8

from binpose_core.base.errors import CannotWrite
from binpose_core.base.files import flush_to_disk
from binpose_recording.config import Compression
from binpose_recording.definitions import Definition
from binpose_recording.messages import RawMessage, Topic

SUFFIX, ACTIVE_SUFFIX, DAMAGED_SUFFIX = ".mcap", ".mcap.active", ".damaged"
CHUNK_BYTES = 1 << 14  # a damaged chunk is lost as a whole, and larger ones would contain several frames
_COMPRESSIONS = {"none": CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}


class Segment:
    """A file that messages are appended to.

    Args:
        path: its final name, which ends with .mcap.
        compression: of its chunks.

    Raises:
        BinposeError: if the file exists.
        OSError: from every method, if writing fails.
    """

    def __init__(self, path: Path, compression: Compression = "zstd") -> None:
        self.path = path
        self.active_path = active_path(path)
        if path.exists() or self.active_path.exists():
            raise CannotWrite(
                f"{path} is there already; expected a new name; choose another folder or remove it.", path
            )
        self._stream = self.active_path.open("xb")
        # Held until the process ends in any way: recovery detects the file of a running recorder by this lock.
        fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._writer = mcap_writer(self._stream, compression)
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self.messages = 0
        self._pending_bytes = 0
        self._unsynced = True

    @property
    def size_bytes(self) -> int:
        """Size of the file and the current chunk before compression."""
        return self._stream.tell() + self._pending_bytes

    def write(self, message: RawMessage, topic: Topic, definition: Definition) -> None:
        """Append a message; it is on the disk after the next `sync`."""
        if message.topic not in self._channels:
            if topic.type not in self._schemas:
                self._schemas[topic.type] = self._writer.register_schema(
                    topic.type, "ros2msg" if definition.text else "", definition.text.encode()
                )
            metadata = {"offered_qos_profiles": qos_text(topic.qos), "topic_type_hash": definition.digest}
            self._channels[message.topic] = self._writer.register_channel(
                message.topic, "cdr", self._schemas[topic.type], metadata
            )
        stamp_ns = message.stamp_ns
        before = self._stream.tell()
        self._writer.add_message(self._channels[message.topic], stamp_ns, message.data, stamp_ns, self.messages)
        self._pending_bytes = self._pending_bytes + len(message.data) if self._stream.tell() == before else 0
        self.messages += 1
        self._unsynced = True

    def sync(self) -> None:
        """Return when everything written is on the disk and readable without later data."""
        if self._unsynced:
            self._writer.flush()
            os.fsync(self._stream.fileno())
            self._pending_bytes, self._unsynced = 0, False

    def close(self) -> None:
        """Write the index, sync, and rename the file; an empty one is removed."""
        if not self.messages:
            self.abandon()
            self.active_path.unlink()
            return
        self._writer.finish()
        publish(self._stream, self.active_path, self.path)

    def abandon(self) -> None:
        """Close the file as it is, for recovery to finish; never raises."""
        with contextlib.suppress(OSError):
            self._stream.close()


def active_path(path: Path) -> Path:
    """The name of a segment while it is written."""
    return path.with_name(path.name + ACTIVE_SUFFIX.removeprefix(SUFFIX))


def mcap_writer(stream: BinaryIO, compression: Compression) -> Writer:
    """A writer after the header of a rosbag2 file."""
    writer = Writer(stream, CHUNK_BYTES, _COMPRESSIONS[compression])
    writer.start("ros2", f"binpose {_version()}")
    return writer


def publish(stream: BinaryIO, temporary: Path, path: Path) -> None:
    """Sync a written file to the disk, close it and rename it."""
    stream.flush()
    os.fsync(stream.fileno())
    temporary.replace(path)
    stream.close()
    flush_to_disk(path.parent)


def qos_text(profiles: Sequence[Qos]) -> str:
    """Profiles as written by rosbag2, with numbers for policies: Humble reads no names, Jazzy and later read both."""
    return dump_qos_v8(list(profiles))


def _version() -> str:
    try:
        return version("binpose")
    except PackageNotFoundError:  # built by colcon, where the packages have other names
        return version("binpose_self_training")
