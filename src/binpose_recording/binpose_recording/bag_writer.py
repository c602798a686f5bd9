"""A bag: a folder of segments with metadata.yaml, which `ros2 bag info` and `ros2 bag play` take as one recording."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from binpose_core.base.errors import CannotWrite
from binpose_core.base.files import flush_to_disk
from binpose_recording.bag_metadata import write_metadata
from binpose_recording.config import BagConfig
from binpose_recording.definitions import Definitions
from binpose_recording.latched import Latched
from binpose_recording.messages import RawMessage, Topic
from binpose_recording.segment import SUFFIX, Segment


class BagWriter:
    """Appends messages to a new bag and begins a new segment when one is full.

    Each segment can be understood alone: it begins with the last messages of every latched topic (static transforms,
    model status). A bag that is left without `close` is finished by `binpose_recording.recovery`.

    Args:
        directory: of the bag; it must not be there yet.
        config: sizes and compression.
        definitions: where those come from.

    Raises:
        BinposeError: for a folder that is there already.
        OSError: from every method, when the disk does not take it; `abandon` the bag then.
    """

    def __init__(
        self, directory: Path, config: BagConfig | None = None, definitions: Definitions | None = None
    ) -> None:
        self.directory = directory
        self._config = config or BagConfig()
        self._definitions = definitions or Definitions()
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            raise CannotWrite(
                f"{directory} is there already; expected a new folder for the bag; choose another or remove it.",
                directory,
            ) from None
        flush_to_disk(directory.parent)
        self._segment: Segment | None = None
        self._segments = 0
        self._started_ns = 0
        self._latched = Latched()
        self.messages = 0

    @property
    def is_full(self) -> bool:
        """Whether the next message begins a new segment."""
        return self._segment is None or self._segment.size_bytes >= self._config.segment_mb * 1e6

    def write(self, message: RawMessage, topic: Topic) -> None:
        """Append a message of that topic."""
        if self._segment is not None and (self.is_full or self._is_old(message.stamp_ns)):
            self.close_segment()
        segment = self._segment or self._begin(message)
        segment.write(message, topic, self._definitions(topic.type))
        self.messages += 1
        self._latched.add(message, topic)

    def sync(self) -> None:
        """Return when all that was written lies on the disk."""
        if self._segment is not None:
            self._segment.sync()

    def close_segment(self) -> None:
        """Finish the segment in work and tell metadata.yaml."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None
            write_metadata(self.directory)

    def close(self) -> None:
        """Finish the bag; a bag without messages leaves no folder."""
        self.close_segment()
        if not any(self.directory.iterdir()):
            self.directory.rmdir()

    def abandon(self) -> None:
        """Leave the bag as it lies on the disk; never raises."""
        if self._segment is not None:
            self._segment.abandon()
            self._segment = None

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            self.abandon()
        else:
            self.close()

    def _begin(self, first: RawMessage) -> Segment:
        path = self.directory / f"{self.directory.name}_{self._segments}{SUFFIX}"
        self._segment = Segment(path, self._config.compression)
        self._segments += 1
        self._started_ns = first.stamp_ns
        for message, topic in self._latched.messages(first.stamp_ns):
            if (message.topic, message.data) != (first.topic, first.data):
                self._segment.write(message, topic, self._definitions(topic.type))
        return self._segment

    def _is_old(self, now_ns: int) -> bool:
        return abs(now_ns - self._started_ns) >= self._config.segment_s * 1e9


def write_bag(directory: Path, messages: Iterable[tuple[RawMessage, Topic]], config: BagConfig | None = None) -> int:
    """Write all messages into a new bag; returns their number.

    Raises:
        BinposeError: for a folder that is there already, or a disk that does not take them.
    """
    try:
        with BagWriter(directory, config) as bag:
            for message, topic in messages:
                bag.write(message, topic)
    except OSError as error:
        raise CannotWrite(
            f"Could not write the bag {directory}: {error.strerror or error}; free some space.", directory
        ) from error
    return bag.messages
