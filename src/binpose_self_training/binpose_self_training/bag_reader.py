"""Reading bags that any recorder made, on a machine without ROS: MCAP and SQLite, folders and single files."""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from binpose_core.errors import BinposeError
from binpose_self_training.bag_metadata import METADATA, segment_info, segment_paths
from binpose_self_training.segment import ACTIVE_SUFFIX, SUFFIX

SQLITE_SUFFIX = ".db3"
_COMPRESSED_SUFFIXES = (f"{SUFFIX}.zstd", f"{SQLITE_SUFFIX}.zstd")
_OPEN_FILES = 8


class Place(NamedTuple):
    """Where a message lies: the part of the bag, its topic and when it was received, ns."""

    part: int
    topic: str
    stamp_ns: int


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag, whole or damaged."""
    suffixes = (SUFFIX, ACTIVE_SUFFIX, SQLITE_SUFFIX, *_COMPRESSED_SUFFIXES)
    if path.is_dir():
        return (path / METADATA).is_file() or any(item.name.endswith(suffixes) for item in path.iterdir())
    return path.name.endswith((*suffixes, ".bag"))


class Bag:
    """A recording, which may lie in several files. Files are opened when they are needed.

    Raises:
        BinposeError: for what is no bag, or a damaged one; the sentence says how to repair it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._parts = _parts(self.path)
        self._readers: OrderedDict[int, Reader] = OrderedDict()
        self.types: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        for part in range(len(self._parts)):
            for connection in self._reader(part).connections:
                self.types[connection.topic] = connection.msgtype
                self.counts[connection.topic] = self.counts.get(connection.topic, 0) + connection.msgcount

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read, in the order of the recording."""
        return tuple(self._parts)

    @property
    def unfinished(self) -> tuple[Path, ...]:
        """The files beside those that are read which a recorder has not closed."""
        return tuple(sorted(self.path.glob(f"*{ACTIVE_SUFFIX}"))) if self.path.is_dir() else ()

    @property
    def times_ns(self) -> tuple[int, int]:
        """When the first and the last message were received; (0, 0) for an empty bag."""
        readers = [self._reader(part) for part in range(len(self._parts))]
        spans = [(reader.start_time, reader.end_time - 1) for reader in readers if reader.message_count]
        return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else (0, 0)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[Place, bytes]]:
        """All messages of some topics, in the order of the recording.

        Raises:
            BinposeError: for a damaged file.
        """
        for part in range(len(self._parts)):
            for connection, stamp_ns, data in self._read(part, topics):
                yield Place(part, connection.topic, stamp_ns), bytes(data)

    def at(self, place: Place) -> Iterator[bytes]:
        """The messages of a topic that were received at that very time; errors as in `messages`."""
        for _, _, data in self._read(place.part, [place.topic], place.stamp_ns, place.stamp_ns + 1):
            yield bytes(data)

    def _read(
        self, part: int, topics: Collection[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        reader = self._reader(part)
        connections = [item for item in reader.connections if item.topic in topics]
        if not connections:
            return
        try:
            yield from reader.messages(connections, start, stop)
        except BinposeError:
            raise
        except Exception as error:  # rosbags, SQLite and the decompressors all have errors of their own.
            raise damaged(self._parts[part], error) from error

    def _reader(self, part: int) -> Reader:
        if part in self._readers:
            self._readers.move_to_end(part)
            return self._readers[part]
        try:
            reader = Reader(self._parts[part])
            reader.open()
        except Exception as error:
            raise damaged(self._parts[part], error) from error
        self._readers[part] = reader
        if len(self._readers) > _OPEN_FILES:
            self._readers.popitem(last=False)[1].close()
        return reader


def damaged(path: Path, error: Exception) -> BinposeError:
    """What is wrong with a file, and how to get at the rest of it."""
    if path.name.endswith(SUFFIX):
        try:
            segment_info(path)
        except BinposeError as whole_error:
            return whole_error
    remedy = "record it again, or try `ros2 bag reindex` where metadata.yaml is wrong"
    return BinposeError(f"{path} cannot be read as a bag ({error or type(error).__name__}); {remedy}.")


def _parts(path: Path) -> list[Path]:
    """The files to be read one after the other, or the folder where rosbags must undo a compression."""
    if not path.exists():
        raise BinposeError(f"Nothing at {path}; expected a bag; check the path.")
    if path.name.endswith(".bag"):
        raise BinposeError(f"{path} is a bag of ROS 1; expected one of ROS 2; convert it with `rosbags-convert`.")
    if path.name.endswith(ACTIVE_SUFFIX):
        raise BinposeError(f"{path} is unfinished: its recorder runs or was killed; {_unfinished(path)}.")
    if path.is_file():
        return [path]
    if _is_compressed(path):
        return [path]
    found = segment_paths(path) or segment_paths(path, SQLITE_SUFFIX)
    if not found and any(path.glob(f"*{ACTIVE_SUFFIX}")):
        raise BinposeError(f"The bag {path} is unfinished: its recorder runs or was killed; {_unfinished(path)}.")
    if not found:
        raise BinposeError(
            f"The bag {path} holds neither *{SUFFIX} nor *{SQLITE_SUFFIX}; expected the files of a recording; check "
            "the path."
        )
    return found


def _unfinished(path: Path) -> str:
    return f"stop the recorder, or run `binpose bag {path} --repair`"


def _is_compressed(directory: Path) -> bool:
    """Whether files or messages are compressed as a whole, which the metadata tell."""
    path = directory / METADATA
    if not path.is_file():
        return False
    try:
        content = YAML(typ="safe").load(path)["rosbag2_bagfile_information"]
        return str(content.get("compression_mode", "")).lower() not in ("", "none", "storage")
    except (YAMLError, OSError, KeyError, TypeError, AttributeError, ValueError):
        return False  # The files themselves tell all that is needed.
