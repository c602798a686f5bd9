"""Which messages of several topics belong to one image. Without ROS."""

import math
from collections.abc import Mapping, Sized
from typing import Any

from binpose_core.base.stamp_queue import StampQueue
from binpose_ros.mailbox import FrameCounts
from binpose_ros.stamps import NS_PER_S

RESTART_NS = NS_PER_S


class StampSynchronizer:
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
    """

    def __init__(
        self,
        reference: str,
        slops_ns: Mapping[str, int],
        counts: FrameCounts,
        keep: int = 30,
        keep_bytes: float = math.inf,
    ) -> None:
        self.slops_ns = dict(slops_ns)
        self._reference, self._counts = reference, counts
        self._keep, self._keep_bytes = keep, keep_bytes
        self._held: dict[str, StampQueue[Sized]] = {topic: StampQueue() for topic in (reference, *slops_ns)}
        self._last_ns: dict[str, int] = {}

    def put(self, topic: str, stamp_ns: int, message: Sized) -> dict[str, Any] | None:
        """Take a message; the newest frame that it completes, as message by topic, or None.

        Stamps that jump back by more than a second are a restart (a new bag, a reset clock): all is forgotten.
        """
        held = self._held[topic]
        if stamp_ns < self._last_ns.get(topic, stamp_ns) - RESTART_NS:
            self._restart()
        self._last_ns[topic] = stamp_ns
        if stamp_ns in held.stamps_ns:  # published again
            held.take(stamp_ns)
        held.add(stamp_ns, message)
        match = self._newest_match()
        while len(held) > self._keep or (len(held) > 1 and sum(map(len, held.items)) > self._keep_bytes):
            self._forget(topic, min(held.stamps_ns))
        return match

    def too_far(self) -> dict[str, int]:
        """The topics whose held stamps are all farther from the reference's than their slop, and how far, in ns.

        Any thread may call it.
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
