"""A memory buffer of the latest messages."""

from collections import deque

from binpose_recording.messages import RawMessage


class RingBuffer:
    """Holds the messages of the last seconds within a size limit; the oldest are dropped first.

    Not thread-safe; the recorder locks it.

    Args:
        seconds: how long a message is held.
        megabytes: largest total size.
    """

    def __init__(self, seconds: float, megabytes: float) -> None:
        self._span_ns = int(seconds * 1e9)
        self._limit = int(megabytes * 1e6)
        self._messages: deque[RawMessage] = deque()
        self._bytes = 0

    @property
    def bytes_held(self) -> int:
        """Total size, at most the limit."""
        return self._bytes

    def append(self, message: RawMessage) -> None:
        """Add a message; one that is larger than the limit empties the buffer."""
        self._messages.append(message)
        self._bytes += len(message.data)
        while self._messages and (self._bytes > self._limit or not self._is_near(message.stamp_ns)):
            self._bytes -= len(self._messages.popleft().data)

    def _is_near(self, now_ns: int) -> bool:
        """Whether the oldest message is within the time span; a future stamp means that the clock was set back."""
        return 0 <= now_ns - self._messages[0].stamp_ns <= self._span_ns

    def messages(self) -> list[RawMessage]:
        """The held messages in the order of arrival."""
        return list(self._messages)
