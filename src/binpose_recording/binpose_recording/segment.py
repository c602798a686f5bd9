"""One file of a bag: MCAP as rosbag2 writes it, whole on the disk up to the last `sync`.

While it is written it is called `<name>.mcap.active`; `close` gives it its name. So whatever is called `.mcap` is
whole, and what a killed process leaves is known by its name (`binpose_recording.recovery`). The `mcap` library
writes it, because unlike rosbags' writer it can end a chunk at any time and gives each a checksum, by which a chunk
that a power cut tore is told from a whole one.
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
CHUNK_BYTES = 1 << 14  # A damaged chunk is lost as a whole: larger ones would take several frames with them.
_COMPRESSIONS = {"none": CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}


class Segment:
    """A file that messages are appended to.

    Args:
        path: its final name, which ends with .mcap.
        compression: of its chunks.

    Raises:
        BinposeError: for a name that is taken.
        OSError: from every method, when the disk does not take it.
    """

    def __init__(self, path: Path, compression: Compression = "zstd") -> None:
        self.path = path
        self.active_path = active_path(path)
        if path.exists() or self.active_path.exists():
            raise CannotWrite(
                f"{path} is there already; expected a new name; choose another folder or remove it.", path
            )
        self._stream = self.active_path.open("xb")
        # Held until the process ends, however it ends: by this lock recovery knows the file of a living recorder.
        fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._writer = mcap_writer(self._stream, compression)
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self.messages = 0
        self._pending_bytes = 0
        self._unsynced = True

    @property
    def size_bytes(self) -> int:
        """Of the file and the chunk in work, which is not compressed yet."""
        return self._stream.tell() + self._pending_bytes

    def write(self, message: RawMessage, topic: Topic, definition: Definition) -> None:
        """Append a message; it is safe after the next `sync`."""
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
        """Return when all that was written lies on the disk, readable without what comes after."""
        if self._unsynced:
            self._writer.flush()
            os.fsync(self._stream.fileno())
            self._pending_bytes, self._unsynced = 0, False

    def close(self) -> None:
        """Write the index, wait for the disk and give the file its name; an empty one is removed."""
        if not self.messages:
            self.abandon()
            self.active_path.unlink()
            return
        self._writer.finish()
        publish(self._stream, self.active_path, self.path)

    def abandon(self) -> None:
        """Let go of the file as it is, for recovery to finish; never raises."""
        with contextlib.suppress(OSError):
            self._stream.close()


def active_path(path: Path) -> Path:
    """The name of a segment while it is written."""
    return path.with_name(path.name + ACTIVE_SUFFIX.removeprefix(SUFFIX))


def mcap_writer(stream: BinaryIO, compression: Compression) -> Writer:
    """A writer that has written the header of a rosbag2 file."""
    writer = Writer(stream, CHUNK_BYTES, _COMPRESSIONS[compression])
    writer.start("ros2", f"binpose {_version()}")
    return writer


def publish(stream: BinaryIO, temporary: Path, path: Path) -> None:
    """Bring a written file to the disk, close it and give it its name."""
    stream.flush()
    os.fsync(stream.fileno())
    temporary.replace(path)
    stream.close()
    flush_to_disk(path.parent)


def qos_text(profiles: Sequence[Qos]) -> str:
    """Profiles as rosbag2 writes them, with numbers for policies: Humble reads no names, Jazzy and later read both."""
    return dump_qos_v8(list(profiles))


def _version() -> str:
    try:
        return version("binpose")
    except PackageNotFoundError:  # Built by colcon, the packages have their own names.
        return version("binpose_self_training")
