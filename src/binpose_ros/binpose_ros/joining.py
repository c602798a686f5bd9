"""Which messages of several topics belong to one image, and which frame is worked on next. Knows no ROS."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from binpose_core.base.stamp_queue import StampQueue
from binpose_ros.stamps import NS_PER_S

T = TypeVar("T")
RESTART_NS = NS_PER_S


@dataclass
class Counts:
    """What became of the frames: done + dropped + unmatched + failed = all that arrived, but for those under way."""

    done: int = 0
    dropped: int = 0
    unmatched: int = 0
    failed: int = 0
    restarts: int = 0


class StampJoin:
    """Puts together one message of each topic.

    A message of the reference topic names a frame by its stamp; of each other topic the message with the nearest stamp
    belongs to it, if it is within that topic's slop. Messages that are older than the newest complete frame are
    forgotten, and of each topic the oldest beyond `keep` and `keep_bytes`: memory is bounded whatever arrives.

    Args:
        reference: the topic whose stamps name the frames.
        slops_ns: largest difference of stamps of each other topic; 0 for the same stamp.
        counts: where the reference's messages without partners are counted (`unmatched`), and the restarts.
        keep: messages held per topic.
        keep_bytes: their length per topic; one message is held whatever its length.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        reference: str,
        slops_ns: Mapping[str, int],
        counts: Counts,
        keep: int = 30,
        keep_bytes: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slops_ns = dict(slops_ns)
        self._reference, self._counts = reference, counts
        self._keep, self._keep_bytes = keep, keep_bytes
        self._held: dict[str, StampQueue[Sized]] = {topic: StampQueue() for topic in (reference, *slops_ns)}
        self._last_ns: dict[str, int] = {}
        self._clock, self._came_s = clock, dict[str, float]()

    def put(self, topic: str, stamp_ns: int, message: Sized) -> dict[str, Any] | None:
        """Take a message; the newest frame that it completes, as message by topic, or None.

        Stamps that jump back by more than a second are a restart (a new bag, a reset clock): all is forgotten.
        """
        held = self._held[topic]
        self._came_s[topic] = self._clock()
        if stamp_ns < self._last_ns.get(topic, stamp_ns) - RESTART_NS:
            self._restart()
        self._last_ns[topic] = stamp_ns
        if stamp_ns in held.stamps_ns:  # sent again
            held.take(stamp_ns)
        held.add(stamp_ns, message)
        match = self._newest_match()
        while len(held) > self._keep or (len(held) > 1 and sum(map(len, held.items)) > self._keep_bytes):
            self._forget(topic, min(held.stamps_ns))
        return match

    def silent(self, seconds: float) -> list[str]:
        """The topics on which nothing came for so long."""
        now_s = self._clock()
        return [topic for topic in self._held if now_s - self._came_s.get(topic, -math.inf) > seconds]

    def too_far(self) -> dict[str, int]:
        """The topics whose held stamps are all farther from the reference's than their slop, and how far, in ns.

        Another thread than that of `put` may ask.
        """
        stamps = {topic: held.stamps_ns for topic, held in self._held.items()}
        nearest = {
            topic: min((abs(other - stamp) for other in stamps[topic] for stamp in stamps[self._reference]), default=0)
            for topic in self.slops_ns
        }
        return {topic: gap for topic, gap in nearest.items() if gap > self.slops_ns[topic]}

    def _newest_match(self) -> dict[str, Any] | None:
        for stamp in sorted(self._held[self._reference].stamps_ns, reverse=True):
            near = {topic: self._held[topic].nearest_ns(stamp, slop) for topic, slop in self.slops_ns.items()}
            partners = {topic: partner for topic, partner in near.items() if partner is not None}
            if len(partners) == len(near):
                stamps = {self._reference: stamp, **partners}
                match = {topic: self._held[topic].take(taken) for topic, taken in stamps.items()}
                for topic, taken in stamps.items():
                    self._count(topic, self._held[topic].drop_before(taken))
                return match
        return None

    def _forget(self, topic: str, stamp: int) -> None:
        self._held[topic].take(stamp)
        self._count(topic, 1)

    def _count(self, topic: str, forgotten: int) -> None:
        self._counts.unmatched += forgotten if topic == self._reference else 0

    def _restart(self) -> None:
        self._counts.restarts += 1
        self._last_ns.clear()
        for topic, held in self._held.items():
            self._count(topic, held.drop_oldest(0))


@dataclass
class Mailbox(Generic[T]):
    """Holds the newest item for one worker; an older one that nobody took is dropped and counted."""

    counts: Counts
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
