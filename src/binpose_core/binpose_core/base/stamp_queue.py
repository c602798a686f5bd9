"""Messages of one topic that wait for those of other topics with about the same stamp."""

from typing import Generic, TypeVar

Item = TypeVar("Item")


class StampQueue(Generic[Item]):
    """Holds messages by their stamps, in the order of their arrival."""

    def __init__(self) -> None:
        self._held: list[tuple[int, Item]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def stamps_ns(self) -> list[int]:
        """Of the messages, in the order of their arrival."""
        return [stamp_ns for stamp_ns, _ in list(self._held)]

    @property
    def items(self) -> list[Item]:
        """The messages, in the order of their arrival."""
        return [item for _, item in self._held]

    def add(self, stamp_ns: int, item: Item) -> None:
        """Take a message."""
        self._held.append((stamp_ns, item))

    def nearest_ns(self, stamp_ns: int, slop_ns: int) -> int | None:
        """The held stamp nearest to another one, of equally near ones the first; None where none is within the slop."""
        nearest = min(self.stamps_ns, key=lambda held_ns: abs(held_ns - stamp_ns), default=None)
        return None if nearest is None or abs(nearest - stamp_ns) > slop_ns else nearest

    def take(self, stamp_ns: int) -> Item:
        """Remove the first message of a held stamp and return it."""
        return self._held.pop(self.stamps_ns.index(stamp_ns))[1]

    def drop_oldest(self, keep: int) -> int:
        """Remove the messages that came first until `keep` are left; returns how many."""
        count = max(len(self._held) - keep, 0)
        del self._held[:count]
        return count

    def drop_before(self, stamp_ns: int) -> int:
        """Remove the messages with earlier stamps; returns how many."""
        count = len(self._held)
        self._held = [(held_ns, item) for held_ns, item in self._held if held_ns >= stamp_ns]
        return count - len(self._held)
