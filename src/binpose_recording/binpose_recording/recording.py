"""One recording from its first message to its last: chooses, keeps to the quota, writes, brings to the disk."""

import errno
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from binpose_core.base.errors import BinposeError, CannotWrite, DiskFull
from binpose_recording.bag_metadata import RECORDING, SNAPSHOT
from binpose_recording.bag_writer import BagWriter
from binpose_recording.config import RecorderConfig
from binpose_recording.definitions import Definitions
from binpose_recording.messages import RawMessage, Topic
from binpose_recording.quota import make_room
from binpose_recording.recovery import Recovery, recover_recordings
from binpose_recording.selection import Selection, Shrink

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Recording:
    """A bag in work, for one thread. First finishes what an earlier recorder left unfinished.

    Raises:
        BinposeError: for a disk that does not take it, also from `add` and `sync`; `end` the recording then.
    """

    def __init__(
        self, config: RecorderConfig, topics: dict[str, Topic], shrink: Shrink, definitions: Definitions
    ) -> None:
        self.config = config
        self.topics = topics
        self.selection = Selection(topics, shrink, config)
        self.recovered = prepare(config.directory)
        self.bag_path = config.directory / _name(RECORDING)
        self._make_room(config.bag.segment_mb * 1e6)
        try:
            self._bag = BagWriter(self.bag_path, config.bag, definitions)
        except OSError as error:
            raise disk_error(self.bag_path, error) from error
        self.messages = 0
        self.bytes_taken = 0

    def add(self, message: RawMessage) -> int:
        """Take the next message; returns how many are to be written now."""
        chosen = list(self.selection(message))
        try:
            for item in chosen:
                if self._bag.is_full:
                    self._bag.close_segment()
                    self._make_room(self.config.bag.segment_mb * 1e6)
                self._bag.write(item, self.topics[item.topic])
                self.messages += 1
                self.bytes_taken += len(item.data)
        except OSError as error:
            self._bag.abandon()  # What comes after a write that failed would not be a bag.
            raise disk_error(self.bag_path, error) from error
        return len(chosen)

    def sync(self) -> None:
        """Bring what was written to the disk, and see that the disk has room for more."""
        try:
            self._bag.sync()
        except OSError as error:
            self._bag.abandon()
            raise disk_error(self.bag_path, error) from error
        self._make_room(0)

    def end(self) -> str:
        """Finish the bag; returns the reason where the disk does not take the end, which the next start then adds."""
        try:
            self._bag.close()
        except OSError as error:
            self._bag.abandon()
            return str(disk_error(self.bag_path, error))
        except BinposeError as error:
            self._bag.abandon()
            return str(error)
        return ""

    def _make_room(self, extra_bytes: float) -> None:
        quota, free = self.config.quota_gb * 1e9, self.config.min_free_gb * 1e9
        try:
            make_room(self.config.directory, quota - extra_bytes, free, self.bag_path)
        except OSError as error:
            raise disk_error(self.config.directory, error) from error


def prepare(directory: Path) -> list[Recovery]:
    """Make the folder of recordings and finish what lies in it unfinished.

    Raises:
        BinposeError: for a place that cannot be written to, or a full disk.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(directory, error) from error
    return recover_recordings(directory)


def write_snapshot(
    messages: Iterable[RawMessage], topics: dict[str, Topic], config: RecorderConfig, definitions: Definitions
) -> Path:
    """Write messages into a bag of their own, which the quota counts and never removes; returns its folder.

    Raises:
        BinposeError: where there is none, or the disk does not take them.
    """
    chosen = list(messages)
    if not chosen:
        raise BinposeError("No message has come yet; expected camera images and more; check the topics.")
    path = config.directory / _name(SNAPSHOT)
    try:
        config.directory.mkdir(parents=True, exist_ok=True)
        size = sum(len(message.data) for message in chosen)
        make_room(config.directory, config.quota_gb * 1e9 - size, config.min_free_gb * 1e9 + size)
        with BagWriter(path, config.bag, definitions) as bag:
            for message in chosen:
                bag.write(message, topics[message.topic])
    except OSError as error:
        raise disk_error(path, error) from error
    return path


def disk_error(path: Path, error: OSError) -> CannotWrite:
    """What the disk said, in one sentence."""
    if error.errno in _NO_SPACE:
        return DiskFull(
            f"The disk of {path} is full ({error.strerror}); what was recorded until then is kept; free some space and "
            "start again.",
            path,
        )
    return CannotWrite(
        f"Could not write to {path}: {error.strerror or error}; expected a place to write to; check the disk and its "
        "permissions, and start again.",
        path,
    )


def _name(prefix: str) -> str:
    """Sorts by time."""
    return prefix + datetime.now(timezone.utc).strftime("%Y%m%d_%H%M%S_%f")[:-3]
