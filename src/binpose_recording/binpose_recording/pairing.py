"""Which colour image, depth image and camera info belong together."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from binpose_core.base.stamp_queue import StampQueue

Item = TypeVar("Item")

PENDING = 16


@dataclass(frozen=True)
class Pair(Generic[Item]):
    """A colour image with its depth image (None for a camera without depth); `stamp_ns` is the colour image's."""

    stamp_ns: int
    color: Item
    depth: Item | None


@dataclass
class Pairer(Generic[Item]):
    """Matches colour and depth images by their stamps as they arrive; each is used once.

    An image that waits while `PENDING` others of its kind arrive is given up and counted.

    Args:
        slop_ns: the two are stamped at most this far apart.
        with_depth: whether depth is to be waited for.
    """

    slop_ns: int
    with_depth: bool = True
    colors_without_depth: int = 0
    depths_without_color: int = 0
    _colors: StampQueue[Item] = field(default_factory=StampQueue)
    _depths: StampQueue[Item] = field(default_factory=StampQueue)

    def add_color(self, stamp_ns: int, item: Item) -> Pair[Item] | None:
        """Take a colour image; returns the pair that it completes."""
        if not self.with_depth:
            return Pair(stamp_ns, item, None)
        if (depth_ns := self._depths.nearest_ns(stamp_ns, self.slop_ns)) is not None:
            return Pair(stamp_ns, item, self._depths.take(depth_ns))
        self._colors.add(stamp_ns, item)
        self.colors_without_depth += self._colors.drop_oldest(PENDING)
        return None

    def add_depth(self, stamp_ns: int, item: Item) -> Pair[Item] | None:
        """Take a depth image; returns the pair that it completes."""
        if not self.with_depth:
            return None
        if (color_ns := self._colors.nearest_ns(stamp_ns, self.slop_ns)) is not None:
            return Pair(color_ns, self._colors.take(color_ns), item)
        self._depths.add(stamp_ns, item)
        self.depths_without_color += self._depths.drop_oldest(PENDING)
        return None

    def finish(self) -> None:
        """Give up everything that waits."""
        self.colors_without_depth += self._colors.drop_oldest(0)
        self.depths_without_color += self._depths.drop_oldest(0)


@dataclass
class Infos(Generic[Item]):
    """Camera infos by their stamps.

    Args:
        limit: the youngest so many are kept; None keeps all.
    """

    limit: int | None = None
    _stamps: list[int] = field(default_factory=list)
    _items: list[Item] = field(default_factory=list)

    def add(self, stamp_ns: int, item: Item) -> None:
        """Take a camera info."""
        index = bisect_right(self._stamps, stamp_ns)
        self._stamps.insert(index, stamp_ns)
        self._items.insert(index, item)
        if self.limit is not None and len(self._stamps) > self.limit:
            del self._stamps[0], self._items[0]

    def at(self, stamp_ns: int) -> Item | None:
        """The one with that stamp, else the last before it, else the first after it; None where there is none."""
        if not self._items:
            return None
        return self._items[max(bisect_right(self._stamps, stamp_ns) - 1, 0)]
