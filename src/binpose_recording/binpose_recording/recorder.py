"""The recorder: accepts serialized messages from any thread without blocking, and writes the selected ones.

A separate thread selects, writes and syncs. An error there (a full disk, a missing folder) ends the recording with a
reason, which is passed to `on_stop` and stored in `status`. A call of `start` begins a new recording.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_recording.config import KeyframeConfig, RecorderConfig
from binpose_recording.definitions import Definitions
from binpose_recording.latched import Latched
from binpose_recording.messages import RawMessage, Topic
from binpose_recording.recording import Recording, write_snapshot
from binpose_recording.ring import RingBuffer
from binpose_recording.selection import SelectionCounts, Shrink
from binpose_recording.shrinking import Shrinker

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class RecorderStatus:
    """State of the recorder.

    reason: why it stopped by itself; empty otherwise.
    bag: folder of the current recording, or of the last one.
    messages, megabytes: recorded so far.
    dropped: messages that arrived faster than the disk could write.
    unsynced_s: age of the oldest message that is not on the disk yet.
    """

    is_recording: bool = False
    reason: str = ""
    bag: Path | None = None
    messages: int = 0
    megabytes: float = 0.0
    dropped: int = 0
    unsynced_s: float = 0.0
    frames: SelectionCounts = field(default_factory=SelectionCounts)


class Recorder:
    """Records topics into bags in one folder. All methods are thread-safe.

    Args:
        topics: recorded topics; messages of others are ignored.
        config: what is kept, and where.
        shrink: computes the thumbnail of a frame's messages, by which keyframes are selected.
        definitions: source of the message definitions.
        on_stop: called once with the reason, from the recorder's thread, when a recording ends by itself or incomplete.
    """

    def __init__(
        self,
        topics: Iterable[Topic],
        config: RecorderConfig | None = None,
        shrink: Shrink | None = None,
        definitions: Definitions | None = None,
        on_stop: Callable[[str], None] | None = None,
    ) -> None:
        self.topics = {topic.name: topic for topic in topics}
        self.config = config or RecorderConfig()
        self._shrink = shrink or Shrinker(self.topics)
        self._definitions = definitions or Definitions()
        self._on_stop = on_stop or _LOG.error
        self._ring = RingBuffer(self.config.snapshot_s, self.config.snapshot_mb)
        self._latched = Latched()
        self._last_ns = 0
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._last_status = RecorderStatus()

    @property
    def status(self) -> RecorderStatus:
        """The current state, or the result of the last recording."""
        worker = self._worker
        return self._last_status if worker is None else worker.status

    def add_topic(self, topic: Topic) -> None:
        """Record an additional topic from now on, or replace its type or quality of service."""
        self.topics[topic.name] = topic

    def choose_by(self, keyframes: KeyframeConfig) -> None:
        """Use other keyframe settings from now on, also in the current recording."""
        with self._lock:
            self.config = replace(self.config, keyframes=keyframes)
            if self._worker is not None:
                self._worker.recording.selection.choose_by(keyframes)

    def add(self, topic: str, stamp_ns: int, data: bytes) -> None:
        """Accept a serialized message with its time of reception, ns since the epoch. Returns at once, never raises."""
        known = self.topics.get(topic)
        if known is None:
            return
        message = RawMessage(topic, stamp_ns, data)
        with self._lock:
            self._ring.append(message)
            self._latched.add(message, known)
            self._last_ns = stamp_ns
            worker = self._worker
        if worker is not None:
            worker.put(message)

    def start(self) -> Path:
        """Start a recording, unless one is running; returns its folder.

        Raises:
            BinposeError: if the disk cannot be written to.
        """
        worker = self._worker
        if worker is not None and worker.status.is_recording:
            return worker.recording.bag_path
        self.stop()
        recording = Recording(self.config, self.topics, self._shrink, self._definitions)
        worker = _Worker(recording, self.config, self._on_stop)
        with self._lock:
            for message, _ in self._latched.messages(self._last_ns):
                worker.put(message)
            self._worker = worker
            recording.selection.choose_by(self.config.keyframes)  # may have changed meanwhile
        worker.start()
        return recording.bag_path

    def stop(self) -> RecorderStatus:
        """End the current recording, if any; returns its result."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.finish()
            self._last_status = worker.status
        return self._last_status

    def snapshot(self) -> Path:
        """Write the messages of the last seconds, recorded or not, to a separate bag; returns its folder.

        Raises:
            BinposeError: if there is no message, or writing fails.
        """
        with self._lock:
            held = self._ring.messages()
            latched = self._latched.messages(held[0].stamp_ns if held else self._last_ns)
        there = {message.data for message in held}
        before = [message for message, _ in latched if message.data not in there]
        return write_snapshot([*before, *held], self.topics, self.config, self._definitions)


class _Worker(threading.Thread):
    """Writes a recording from a queue with a limited number of bytes."""

    def __init__(self, recording: Recording, config: RecorderConfig, on_stop: Callable[[str], None]) -> None:
        super().__init__(name="recorder", daemon=True)
        self.recording = recording
        self._on_stop = on_stop
        self._sync_s = config.bag.sync_s
        self._limit = int(config.queue_mb * 1e6)
        self._queue: queue.SimpleQueue[tuple[RawMessage, float] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._dropped = 0
        self._unsynced_since: float | None = None
        self._reason = ""
        self._ended = False

    def put(self, message: RawMessage) -> None:
        """Queue a message, or count it as dropped."""
        with self._lock:
            if self._ended:
                return
            if self._waiting_bytes + len(message.data) > self._limit:
                self._dropped += 1
                return
            self._waiting_bytes += len(message.data)
            self._queue.put((message, time.monotonic()))

    def finish(self) -> None:
        """Write the queued messages and end, with a timeout for a disk that hangs."""
        self._queue.put(None)
        self.join(_PATIENCE_S)
        if self.is_alive():
            self._reason = f"The disk did not take the end of the recording within {_PATIENCE_S:g} s; check it."

    @property
    def status(self) -> RecorderStatus:
        """The current state."""
        since, recording = self._unsynced_since, self.recording
        return RecorderStatus(
            is_recording=not self._ended,
            reason=self._reason,
            bag=recording.bag_path,
            messages=recording.messages,
            megabytes=recording.bytes_taken / 1e6,
            dropped=self._dropped,
            unsynced_s=0.0 if since is None else time.monotonic() - since,
            frames=replace(recording.selection.counts),
        )

    def run(self) -> None:
        """Thread function; catches all errors."""
        try:
            self._work()
        except BinposeError as error:
            self._reason = str(error)
        except Exception as error:
            _LOG.exception("The recording was stopped by an unexpected error.")
            self._reason = f"The recording was stopped by an unexpected error: {error!r}."
        finally:
            end_reason = self.recording.end()
            self._reason = self._reason or end_reason
            self._unsynced_since = None
            self._ended = True
            if self._reason:
                self._on_stop(self._reason)

    def _work(self) -> None:
        synced = time.monotonic()
        while True:
            try:
                entry = self._queue.get(timeout=max(synced + self._sync_s - time.monotonic(), 1e-3))
            except queue.Empty:
                pass
            else:
                if entry is None:
                    return
                self._write(*entry)
            if time.monotonic() - synced >= self._sync_s:
                self.recording.sync()
                self._unsynced_since, synced = None, time.monotonic()

    def _write(self, message: RawMessage, received: float) -> None:
        with self._lock:
            self._waiting_bytes -= len(message.data)
        if self.recording.add(message) and self._unsynced_since is None:
            self._unsynced_since = received
