"""Reading bags that any recorder made, whole or damaged, without ROS: MCAP and SQLite, folders and single files."""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from binpose_core.base.errors import BadFile, BinposeError
from binpose_recording.bag_file import BagFile, Loss, plain_data, total
from binpose_recording.bag_metadata import METADATA, metadata_text, named_files, segment_paths
from binpose_recording.bag_opening import COMPRESSED, SQLITE_SUFFIX, open_file
from binpose_recording.lost_topics import described_topics
from binpose_recording.segment import ACTIVE_SUFFIX, SUFFIX

_SUFFIXES = (SUFFIX, SQLITE_SUFFIX, SUFFIX + COMPRESSED, SQLITE_SUFFIX + COMPRESSED)
_OPEN_FILES = 8


class Place(NamedTuple):
    """Where a message lies: the part of the bag, its topic, when it was received (ns), and its position in the part."""

    part: int
    topic: str
    stamp_ns: int
    position: tuple[int, int] = (0, 0)


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag, whole or damaged."""
    suffixes = (*_SUFFIXES, ACTIVE_SUFFIX)
    if path.is_dir():
        return (path / METADATA).is_file() or any(item.name.endswith(suffixes) for item in path.iterdir())
    return path.name.endswith((*suffixes, ".bag"))


class Bag:
    """A recording, which may lie in several files. What is damaged is left out, counted and noted.

    types, counts: by topic; the messages that can be read, as far as the files are known to be damaged.

    Raises:
        BinposeError: for what is no bag, or one without a message that can be read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.files: tuple[Path, ...] = tuple(_files(self.path))
        self._parts: list[BagFile] = []
        self._open: OrderedDict[int, BagFile] = OrderedDict()
        self._unreadable: list[BinposeError] = []
        self._undecodable = 0
        described = described_topics(metadata_text(self.path if self.path.is_dir() else self.path.parent))
        for file in self.files:
            try:
                self._parts.append(open_file(file, described))
            except BinposeError as error:
                self._unreadable.append(error)
            else:
                self._used(len(self._parts) - 1)
        if self._unreadable and not any(part.counts for part in self._parts):
            raise self._unreadable[0]

    @property
    def types(self) -> dict[str, str]:
        """The type of each topic."""
        return {topic.name: topic.type for part in self._parts for topic in part.topics.values()}

    @property
    def counts(self) -> dict[str, int]:
        """The messages of each topic, less those that were found damaged so far."""
        counts = dict.fromkeys(self.types, 0)
        for part in self._parts:
            for number, topic in part.topics.items():
                counts[topic.name] += part.counts.get(number, 0)
        return counts

    @property
    def unfinished(self) -> tuple[Path, ...]:
        """The files beside those that are read which a recorder has not closed."""
        return tuple(sorted(self.path.glob(f"*{ACTIVE_SUFFIX}"))) if self.path.is_dir() else ()

    @property
    def times_ns(self) -> tuple[int, int]:
        """When the first and the last message were received; (0, 0) for an empty bag."""
        spans = [part.times_ns for part in self._parts if part.times_ns is not None]
        return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else (0, 0)

    @property
    def loss(self) -> Loss:
        """What was found damaged so far; complete when all messages were read."""
        return total([part.loss for part in self._parts])

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence about each file that is not read, or not to its end, as far as it is known so far."""
        remedy = f"`binpose bag {self.path} --repair`"
        notes = [str(error) for error in self._unreadable]
        notes += [
            f"{path.name} is unfinished, because its recorder runs or was killed, and was left out; {remedy} finishes "
            "it."
            for path in self.unfinished
        ]
        notes += [
            f"{part.path.name} is damaged or was cut: it lost {part.loss.text()}; the rest was read; {remedy} writes a "
            "whole file."
            for part in self._parts
            if part.loss
        ]
        if missing := [name for name in named_files(self.path) if not (self.path / name).exists()]:
            notes.append(f"{METADATA} names {', '.join(missing)}, which the bag does not have; copy it again.")
        if self._undecodable:
            notes.append(f"{self._undecodable} compressed messages are damaged and were left out.")
        return tuple(notes)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[Place, bytes]]:
        """The messages of some topics, in the order of the recording; damaged ones are left out."""
        for number, part in enumerate(self._parts):
            names = {key: topic.name for key, topic in part.topics.items() if topic.name in topics}
            self._used(number)
            for message in part.messages(names) if names else ():
                data = self._plain(message.data)
                if data is not None:
                    yield Place(number, names[message.topic_id], message.stamp_ns, message.position), data

    def at(self, place: Place) -> Iterator[bytes]:
        """The message at that place; none where it cannot be read any more."""
        self._used(place.part)
        message = self._parts[place.part].at(place.position)
        data = None if message is None else self._plain(message.data)
        if data is not None:
            yield data

    def check(self) -> None:
        """Read all there is, so that the notes and the loss are complete."""
        for number, part in enumerate(self._parts):
            self._used(number)
            part.check()

    def _plain(self, data: bytes) -> bytes | None:
        found = plain_data(data)
        self._undecodable += found is None
        return found

    def _used(self, number: int) -> None:
        """Keep only so many files open."""
        self._open[number] = self._parts[number]
        self._open.move_to_end(number)
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()


def _files(path: Path) -> list[Path]:
    """The files to be read one after the other."""
    if not path.exists():
        raise BadFile(f"Nothing at {path}; expected a bag; check the path.", path)
    if path.name.endswith(".bag"):
        raise BadFile(f"{path} is a bag of ROS 1; expected one of ROS 2; convert it with `rosbags-convert`.", path)
    if path.name.endswith(ACTIVE_SUFFIX):
        raise BadFile(f"{path} is unfinished: its recorder runs or was killed; {_unfinished(path)}.", path)
    if path.is_file():
        return [path]
    found = next((files for suffix in _SUFFIXES if (files := segment_paths(path, suffix))), [])
    if not found and any(path.glob(f"*{ACTIVE_SUFFIX}")):
        raise BadFile(f"The bag {path} is unfinished: its recorder runs or was killed; {_unfinished(path)}.", path)
    if not found:
        raise BadFile(
            f"The bag {path} holds neither *{SUFFIX} nor *{SQLITE_SUFFIX}; expected the files of a recording; check "
            "the path.",
            path,
        )
    return found


def _unfinished(path: Path) -> str:
    return f"stop the recorder, or run `binpose bag {path} --repair`"
