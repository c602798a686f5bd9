"""Which messages of several topics belong to one image. Without ROS."""

import math
from collections.abc import Mapping, Sized
from typing import Any

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
        self._held: dict[str, dict[int, Sized]] = {topic: {} for topic in (reference, *slops_ns)}
        self._last_ns: dict[str, int] = {}

    def put(self, topic: str, stamp_ns: int, message: Sized) -> dict[str, Any] | None:
        """Take a message; the newest frame that it completes, as message by topic, or None.

        Stamps that jump back by more than a second are a restart (a new bag, a reset clock): all is forgotten.
        """
        held = self._held[topic]
        if stamp_ns < self._last_ns.get(topic, stamp_ns) - RESTART_NS:
            self._restart()
        self._last_ns[topic] = stamp_ns
        held[stamp_ns] = message
        match = self._newest_match()
        while len(held) > self._keep or (len(held) > 1 and sum(map(len, held.values())) > self._keep_bytes):
            self._forget(topic, min(held))
        return match

    def too_far(self) -> dict[str, int]:
        """The topics whose held stamps are all farther from the reference's than their slop, and how far, in ns.

        Any thread may call it.
        """
        stamps = {topic: list(held) for topic, held in self._held.items()}
        nearest = {
            topic: min((abs(other - stamp) for other in stamps[topic] for stamp in stamps[self._reference]), default=0)
            for topic in self.slops_ns
        }
        return {topic: gap for topic, gap in nearest.items() if gap > self.slops_ns[topic]}

    def _newest_match(self) -> dict[str, Any] | None:
        for stamp in sorted(self._held[self._reference], reverse=True):
            partners = {topic: self._nearest(topic, stamp) for topic in self.slops_ns}
            if None not in partners.values():
                match = {self._reference: self._held[self._reference].pop(stamp)}
                for topic, partner in partners.items():
                    match[topic] = self._held[topic][partner]  # type: ignore[index]
                self._forget_until(stamp, partners)  # type: ignore[arg-type]
                return match
        return None

    def _nearest(self, topic: str, stamp: int) -> int | None:
        slop = self.slops_ns[topic]
        near = [other for other in self._held[topic] if abs(other - stamp) <= slop]
        return min(near, key=lambda other: abs(other - stamp), default=None)

    def _forget_until(self, stamp: int, partners: Mapping[str, int]) -> None:
        for older in [held for held in self._held[self._reference] if held < stamp]:
            self._forget(self._reference, older)
        for topic, partner in partners.items():
            for older in [held for held in self._held[topic] if held <= partner]:
                del self._held[topic][older]

    def _forget(self, topic: str, stamp: int) -> None:
        del self._held[topic][stamp]
        self._counts.unmatched += topic == self._reference

    def _restart(self) -> None:
        self._counts.restarts += 1
        self._last_ns.clear()
        for topic, held in self._held.items():
            for stamp in list(held):
                self._forget(topic, stamp)
