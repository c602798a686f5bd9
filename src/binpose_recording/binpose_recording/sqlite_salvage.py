"""The messages of an SQLite file that SQLite does not read to its end."""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from binpose_recording.bag_file import UNKNOWN, Damage, Described, Loss, Source, StoredMessage, StoredTopic, loss_of
from binpose_recording.lost_topics import is_possible, topic_by_content
from binpose_recording.sqlite_pages import Cell, Pages, serial_types, values


class SalvagedRows:
    """The rows of the table of messages that lie whole in the file, and the topics that do.

    All pages are looked at once. A message is lost where its leaf page is damaged, or the chain of its overflow pages
    is; how many of the former there are follows from the gaps in the numbers of the rows.

    Args:
        path: the file.
        described: topics in the metadata of the bag.

    Raises:
        OSError: when it cannot be opened.
    """

    def __init__(self, path: Path, described: list[Described]) -> None:
        self._source = Source(path)
        self._pages = Pages(self._source)
        self.topics: dict[int, StoredTopic] = {}
        self.counts: dict[int, int] = {}
        self.times_ns: list[int] = []
        self._damages: dict[int, Damage] = {}
        self._leaves: list[tuple[int, int]] = []  # First row and number of each leaf page of the messages.
        self._definitions: dict[str, tuple[str, str]] = {}
        self._scan()
        self._complete_topics(described)

    @property
    def loss(self) -> Loss:
        """What was found damaged so far."""
        return loss_of(self._damages.values(), self._pages.is_cut)

    def messages(self, topic_ids: Collection[int], after: int) -> Iterator[StoredMessage]:
        """The messages of some topics in the order of their rows, from behind a row on."""
        begin = max(bisect_right(self._leaves, (after, 1 << 62)) - 1, 0)
        last = after
        for _, number in self._leaves[begin:]:
            for cell in sorted(self._pages.leaf(number), key=lambda cell: cell.rowid):
                fields = _fields(cell)
                if fields is not None and cell.rowid > last:
                    last = cell.rowid
                    message = self._message(number, cell, *fields) if fields[0] in topic_ids else None
                    if message is not None:
                        yield message

    def at(self, position: tuple[int, int]) -> StoredMessage | None:
        """The message in a leaf page, or wherever its row lies; None where it cannot be read."""
        number, row = position
        index = bisect_right(self._leaves, (row, 1 << 62)) - 1
        number = number or (self._leaves[index][1] if index >= 0 else 0)
        for cell in self._pages.leaf(number) if number else ():
            fields = _fields(cell)
            if cell.rowid == row and fields is not None:
                return self._message(number, cell, *fields)
        return None

    def check(self) -> None:
        """Read all messages."""
        for _ in self.messages(self.topics, -(1 << 63)):
            pass

    def close(self) -> None:
        """Close the file until it is read again."""
        self._source.close()

    def _scan(self) -> None:
        rows, times = array("Q"), array("Q")
        for number, cells in self._pages.leaves():
            found = [(cell, fields) for cell in cells if (fields := _fields(cell)) is not None]
            for cell, (topic, stamp_ns) in found:
                self.counts[topic] = self.counts.get(topic, 0) + 1
                rows.append(cell.rowid)
                times.append(stamp_ns)
            if found:
                self._leaves.append((min(cell.rowid for cell, _ in found), number))
            for cell in cells:
                self._add_description(cell)
        self._leaves.sort()
        self.times_ns = [min(times), max(times)] if times else []
        self._count_gaps(np.array(rows), np.array(times))

    def _count_gaps(self, rows: npt.NDArray[np.uint64], times: npt.NDArray[np.uint64]) -> None:
        order = np.argsort(rows)
        rows, times = np.concatenate([[0], rows[order]]), np.concatenate([[0], times[order]])
        for index in np.flatnonzero(np.diff(rows) > 1):
            start_ns = int(times[index]) if index else None
            count = int(rows[index + 1] - rows[index]) - 1
            self._damages[int(rows[index + 1])] = Damage(0, start_ns, int(times[index + 1]), {UNKNOWN: count})

    def _add_description(self, cell: Cell) -> None:
        """Take a row of the tables of topics and of definitions."""
        types, _ = serial_types(cell.local)
        if len(types) < 4 or any(kind < 12 for kind in types[1:4]) or any(kind % 2 == 0 for kind in types[1:4]):
            return
        payload = self._pages.payload(cell)
        texts = [value for value in values(payload)[1:] if isinstance(value, str)] if payload is not None else []
        if len(texts) < 3:
            return
        if texts[0].startswith("/"):
            more = [*texts[3:], "", ""]
            self.topics[cell.rowid] = StoredTopic(texts[0], texts[1], "", "", texts[2], more[0], more[1])
        elif texts[1] in ("ros2msg", "ros2idl"):
            self._definitions[texts[0]] = (texts[2], texts[1])

    def _complete_topics(self, described: list[Described]) -> None:
        used = {topic.name for topic in self.topics.values()}
        free = [item for item in described if item[0] not in used]
        for number in self.counts:
            if number not in self.topics or not is_possible(self.topics[number]):
                message = next(self.messages([number], -(1 << 63)), None)
                self.topics[number] = topic_by_content(number, message.data if message else b"", free)
        for number, topic in self.topics.items():
            text, form = self._definitions.get(topic.type, ("", ""))
            self.topics[number] = topic._replace(definition=text, definition_format=form)

    def _message(self, number: int, cell: Cell, topic: int, stamp_ns: int) -> StoredMessage | None:
        payload = self._pages.payload(cell)
        data = values(payload)[3] if payload is not None else None
        if not isinstance(data, bytes):
            name = self.topics[topic].name if topic in self.topics else UNKNOWN
            if -cell.rowid not in self._damages:
                self.counts[topic] -= 1
            self._damages[-cell.rowid] = Damage(cell.payload_bytes, stamp_ns, stamp_ns, {name: 1})
            return None
        return StoredMessage(topic, stamp_ns, data, (number, cell.rowid), stamp_ns)


def _fields(cell: Cell) -> tuple[int, int] | None:
    """Topic and time of a row of messages; None for a row of another table."""
    types, _ = serial_types(cell.local)
    if len(types) != 4 or types[3] < 12 or types[3] % 2:
        return None
    found = values(cell.local)
    topic, stamp_ns = found[1], found[2]
    if not isinstance(topic, int) or not isinstance(stamp_ns, int):
        return None
    if topic <= 0 or stamp_ns < 0 or not 0 < cell.rowid < 1 << 62:
        return None
    return topic, stamp_ns
