"""What the readers of MCAP and SQLite files have in common: topics, messages, and what damage takes away."""

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

UNKNOWN = ""
Described = tuple[str, str]
"""Name and type of a topic in the metadata of a bag."""
_ZSTD = b"\x28\xb5\x2f\xfd"  # CDR begins with 0.


class StoredTopic(NamedTuple):
    """A topic as a file describes it; texts that the file does not have are empty.

    type: such as "sensor_msgs/msg/Image".
    definition: of the type, in `definition_format` ("ros2msg" or "ros2idl").
    serialization: "cdr" for messages of ROS 2.
    qos_text: the publishers' quality of service, as rosbag2 writes it.
    digest: hash of the type (REP-2011).
    """

    name: str
    type: str
    definition: str = ""
    definition_format: str = ""
    serialization: str = "cdr"
    qos_text: str = ""
    digest: str = ""


class StoredMessage(NamedTuple):
    """A serialized message in a file.

    topic_id: key in the file's `topics`.
    stamp_ns, publish_ns: when it was received and sent, ns since the epoch.
    position: where it lies in the file, for `BagFile.at`.
    """

    topic_id: int
    stamp_ns: int
    data: bytes
    position: tuple[int, int]
    publish_ns: int
    sequence: int = 0


@dataclass(frozen=True)
class Damage:
    """A place of a file that cannot be read.

    size: in bytes.
    start_ns, end_ns: the last message before it and the first after it, None at the ends of the file.
    messages: lost ones by topic, as far as the file says; those of unknown topics under `UNKNOWN`.
    """

    size: int
    start_ns: int | None = None
    end_ns: int | None = None
    messages: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """What the damages of a file take away together.

    places: how many there are. seconds: between the messages around them.
    messages: lost ones by topic, as far as the file says; those of unknown topics under `UNKNOWN`.
    is_cut: the file ends before its end was written, and does not say what is missing.
    """

    places: int = 0
    size: int = 0
    seconds: float = 0.0
    messages: Mapping[str, int] = field(default_factory=dict)
    is_cut: bool = False

    def __bool__(self) -> bool:
        return self.places > 0 or self.is_cut

    @property
    def count(self) -> int:
        """Messages that are lost, as far as the file says."""
        return sum(self.messages.values())

    def text(self) -> str:
        """Such as "3 messages (1.2 MB, 0.2 s): 1 of /color, 2 of /depth"."""
        counted = (
            f"{self.count} message{'s' if self.count != 1 else ''}" if self.count else "an unknown number of messages"
        )
        size = f"{self.size / 1e6:.1f} MB" if self.size >= 1e5 else f"{self.size} bytes"
        parts = [f"{number} of {topic or 'unknown topics'}" for topic, number in sorted(self.messages.items())]
        time = f", {self.seconds:.1f} s" if self.seconds >= 0.05 else ""
        end = " and all that came after the end of the file" if self.is_cut else ""
        return f"{counted} ({size}{time}){end}" + (f": {', '.join(parts)}" if parts else "")


def total(losses: Collection[Loss]) -> Loss:
    """The losses of several files together."""
    messages: dict[str, int] = {}
    for loss in losses:
        for topic, count in loss.messages.items():
            messages[topic] = messages.get(topic, 0) + count
    return Loss(
        sum(item.places for item in losses),
        sum(item.size for item in losses),
        sum(item.seconds for item in losses),
        messages,
        any(item.is_cut for item in losses),
    )


def loss_of(damages: Collection[Damage], is_cut: bool = False) -> Loss:
    """The damages of one file together."""
    spans = {(item.start_ns, item.end_ns) for item in damages}  # Neighbouring damages share theirs.
    seconds = sum(max(end - start, 0) / 1e9 for start, end in spans if start is not None and end is not None)
    messages = total([Loss(messages=item.messages) for item in damages]).messages
    return Loss(len(damages), sum(item.size for item in damages), seconds, messages, is_cut)


class BagFile(ABC):
    """A file of a bag, read as far as it is whole.

    Args:
        path: the file.
        described: topics in the metadata of the bag, for those whose description in the file is damaged.

    Attributes:
        topics: by their numbers in the file.
        counts: messages by those numbers, as far as they can be read.

    Raises:
        OSError: when it cannot be opened.
    """

    def __init__(self, path: Path, described: Sequence[Described] | None = None) -> None:
        self.path = path
        self.described = list(described or ())
        self.topics: dict[int, StoredTopic] = {}
        self.counts: dict[int, int] = {}

    @property
    @abstractmethod
    def times_ns(self) -> tuple[int, int] | None:
        """When the first and the last message were received; None for a file without messages."""

    @property
    @abstractmethod
    def is_whole(self) -> bool:
        """Whether nothing was found so far that a repair would change."""

    @property
    @abstractmethod
    def loss(self) -> Loss:
        """What was found damaged so far; complete after `check`."""

    @abstractmethod
    def messages(self, topic_ids: Collection[int]) -> Iterator[StoredMessage]:
        """The messages of some topics in the order of the recording; damaged ones are left out and counted."""

    @abstractmethod
    def at(self, position: tuple[int, int]) -> StoredMessage | None:
        """The message at a position; None where it cannot be read."""

    @abstractmethod
    def check(self) -> None:
        """Read all there is, so that `loss` is complete."""

    @abstractmethod
    def close(self) -> None:
        """Close the file until it is read again."""


def plain_data(data: bytes) -> bytes | None:
    """A message without the compression of its own that a recorder may give it; None where that is damaged."""
    if data[:4] != _ZSTD:
        return data
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except zstandard.ZstdError:
        return None


class Source:
    """The bytes of a file; where the disk does not give them, there are none. It is opened when it is read.

    Raises:
        OSError: when the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None
        self.size = os.fstat(self._opened().fileno()).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`: fewer at the end of the file and at a sector that cannot be read."""
        descriptor, parts = self._opened().fileno(), []
        try:
            while length > 0 and offset >= 0 and (part := os.pread(descriptor, length, offset)):
                parts.append(part)  # One call gives 2 GiB at most.
                offset, length = offset + len(part), length - len(part)
        except OSError:
            pass
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file until it is read again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            self._stream = self._path.open("rb")
        return self._stream
