"""What the stages exchange, put together by exact stamps with message_filters' TimeSynchronizer."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from binpose_ros.mailbox import FrameCounts
from binpose_ros.stamps import ns_to_stamp
from binpose_ros.synchronizer import RESTART_NS


class MessageSet:
    """The serialized messages of one stamp, by topic; its length is that of all of them."""

    def __init__(self, stamp_ns: int, messages: dict[str, bytes]) -> None:
        self.stamp_ns, self.messages = stamp_ns, messages

    def __len__(self) -> int:
        return sum(map(len, self.messages.values()))


class ExactTime:
    """Puts together one serialized message of each topic with the same stamp.

    Args:
        message_filters: the package.
        topics: the first one is the reference.
        keep: messages held per topic until their partners come.
        counts: where the reference's messages without partners are counted.
        types: message classes.
    """

    def __init__(self, message_filters: Any, topics: Sequence[str], keep: int, counts: FrameCounts, types: Any) -> None:
        self._package, self._topics, self._keep = message_filters, topics, keep
        self._counts, self._types = counts, types
        self._complete: list[MessageSet] = []
        self._waiting: list[int] = []  # stamps of the reference
        self._last_ns: dict[str, int] = {}
        self._restart()

    def put(self, topic: str, stamp_ns: int, data: bytes) -> list[MessageSet]:
        """Take a message; the sets that it completes, the oldest first.

        Stamps that jump back by more than a second are a restart (a new bag, a reset clock): all is dropped.
        """
        if stamp_ns < self._last_ns.get(topic, stamp_ns) - RESTART_NS:
            self._count_unmatched(len(self._waiting))
            self._restart()
        self._last_ns[topic] = stamp_ns
        if topic == self._topics[0]:
            self._waiting = sorted({*self._waiting, stamp_ns})
            self._count_unmatched(len(self._waiting) - self._keep)
        header = SimpleNamespace(stamp=ns_to_stamp(stamp_ns, self._types))
        self._filters[topic].signalMessage(SimpleNamespace(header=header, topic=topic, stamp_ns=stamp_ns, data=data))
        complete, self._complete = self._complete, []
        for found in complete:
            self._count_unmatched(sum(waiting < found.stamp_ns for waiting in self._waiting))
            self._waiting = [waiting for waiting in self._waiting if waiting > found.stamp_ns]
        return complete

    def _restart(self) -> None:
        self._filters = {topic: self._package.SimpleFilter() for topic in self._topics}
        self._synchronizer = self._package.TimeSynchronizer(list(self._filters.values()), self._keep)
        self._synchronizer.registerCallback(self._collect)
        self._waiting, self._last_ns = [], {}

    def _collect(self, *messages: Any) -> None:
        self._complete.append(MessageSet(messages[0].stamp_ns, {entry.topic: entry.data for entry in messages}))

    def _count_unmatched(self, number: int) -> None:
        """Of the oldest waiting messages of the reference."""
        if number > 0:
            self._counts.unmatched += number
            del self._waiting[:number]
