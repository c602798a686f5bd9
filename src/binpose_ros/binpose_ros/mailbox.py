"""The frame that is processed next, and what became of the others."""

import threading
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class FrameCounts:
    """What became of the frames: done + dropped + unmatched + failed = all that arrived, but for those under way."""

    done: int = 0
    dropped: int = 0
    unmatched: int = 0
    failed: int = 0
    restarts: int = 0


@dataclass
class Mailbox(Generic[T]):
    """Holds the newest item for one worker; an older one that was not taken is dropped and counted."""

    counts: FrameCounts
    _item: T | None = None
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, item: T) -> None:
        """Leave an item; never waits."""
        with self._changed:
            self.counts.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self) -> T | None:
        """Wait for an item and take it; None when the box is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Let the worker end; what lies in the box is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
