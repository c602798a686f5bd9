"""The rows of an SQLite file from its pages alone (https://www.sqlite.org/fileformat2.html), without its trees.

A database is a tree of pages per table. If a page of a tree is damaged, SQLite reads no row after it. But every row is
stored completely in a leaf page and the overflow pages that follow it, and all leaf pages can be found by testing each
page of the file.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from binpose_recording.bag_file import Source

MAGIC = b"SQLite format 3\0"
_LEAF = 0x0D
_DATABASE_HEADER = 100
RESERVED = (b"\0", b"\x08")  # reserved bytes at the end of each page: none, or a checksum
_KINDS = (b"\x00", b"\x02", b"\x05", b"\x0a", b"\x0d")
_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_SAMPLED_PAGES = 2000
_LARGEST = 1 << 30  # bytes of a value in SQLite
_INTEGER_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
_WINDOW_PAGES = 256

Value = int | bytes | str | None


class Cell(NamedTuple):
    """A row in a leaf page.

    payload_bytes: of the whole record. local: its beginning. overflow: number of the page with the rest, or 0.
    """

    rowid: int
    payload_bytes: int
    local: bytes
    overflow: int


class Pages:
    """The pages of a file, numbered from 1.

    is_cut: whether pages are missing at the end.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.page_size = self._found_size()
        reserved = source.read(20, 1)
        self._usable = self.page_size - (reserved[0] if reserved in RESERVED else 0)
        self.count = -(-source.size // self.page_size)
        page_count = int.from_bytes(source.read(28, 4), "big") if source.read(0, len(MAGIC)) == MAGIC else 0
        self.is_cut = page_count * self.page_size > source.size

    def leaves(self) -> Iterator[tuple[int, list[Cell]]]:
        """Every leaf page of a table by its number, with its rows; damaged rows are skipped."""
        for first in range(1, self.count + 1, _WINDOW_PAGES):
            window = self._source.read((first - 1) * self.page_size, _WINDOW_PAGES * self.page_size)
            for start in range(0, len(window), self.page_size):
                number = first + start // self.page_size
                if window[start + self._skip(number) : start + self._skip(number) + 1] == bytes([_LEAF]):
                    yield number, self._cells(number, window[start : start + self.page_size])

    def leaf(self, number: int) -> list[Cell]:
        """The rows of a leaf page."""
        return self._cells(number, self._page(number))

    def payload(self, cell: Cell) -> bytes | None:
        """The whole record of a row; None if one of its overflow pages is missing."""
        missing, page = cell.payload_bytes - len(cell.local), cell.overflow
        if missing > min(self._source.size, _LARGEST):
            return None
        parts = [cell.local]
        while missing > 0:
            part, page = self._overflow(page, missing)
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _overflow(self, page: int, missing: int) -> tuple[bytes, int]:
        """The content of consecutive overflow pages, and the number of the page after them."""
        if not 0 < page <= self.count:
            return b"", 0
        content, parts = self._usable - 4, []
        wanted = min(-(-missing // content), _WINDOW_PAGES)
        window = self._source.read((page - 1) * self.page_size, wanted * self.page_size)
        for start in range(0, len(window), self.page_size):
            size = min(content, missing)
            part = window[start + 4 : start + 4 + size]
            if len(part) < size:
                return b"", 0
            parts.append(part)
            missing -= size
            following = int.from_bytes(window[start : start + 4], "big")
            is_next = following == page + 1
            page = following
            if not missing or not is_next:
                break
        return b"".join(parts), page

    def _page(self, number: int) -> bytes:
        return self._source.read((number - 1) * self.page_size, self.page_size)

    def _skip(self, number: int) -> int:
        return _DATABASE_HEADER if number == 1 else 0

    def _cells(self, number: int, page: bytes) -> list[Cell]:
        start = self._skip(number)
        if len(page) < start + 8 or page[start] != _LEAF:
            return []
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        pointers = page[start + 8 : start + 8 + 2 * count]
        places = struct.unpack(f">{len(pointers) // 2}H", pointers[: len(pointers) // 2 * 2])
        cells = (self._cell(page, place) for place in places if start + 8 < place < len(page))
        return [cell for cell in cells if cell is not None]

    def _cell(self, page: bytes, place: int) -> Cell | None:
        payload_bytes, place = varint(page, place)
        rowid, place = varint(page, place)
        usable = self._usable
        largest, least = usable - 35, (usable - 12) * 32 // 255 - 23
        local = payload_bytes
        if payload_bytes > largest:
            local = least + (payload_bytes - least) % (usable - 4)
            local = local if local <= largest else least
        data = page[place : place + local]
        overflow = 0
        if local < payload_bytes:
            overflow = int.from_bytes(page[place + local : place + local + 4], "big")
        return Cell(rowid, payload_bytes, data, overflow) if len(data) == local else None

    def _found_size(self) -> int:
        """The smallest page size for which nearly all pages have a valid type: tables, indexes and overflow."""
        fractions = {size: self._valid_fraction(size) for size in _SIZES}
        return next(
            (size for size, fraction in fractions.items() if fraction > 0.95),
            max(fractions, key=lambda size: fractions[size]),
        )

    def _valid_fraction(self, size: int) -> float:
        starts = range(size, min(self._source.size, size * _SAMPLED_PAGES), size)
        kinds = [self._source.read(start, 1) for start in starts]
        return sum(kind in _KINDS for kind in kinds) / max(len(kinds), 1)


def varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of one to nine bytes, and the offset after it."""
    value = 0
    for count, byte in enumerate(data[place : place + 9]):
        value = value << 8 | byte if count == 8 else value << 7 | byte & 0x7F
        if byte < 0x80 or count == 8:
            return value, place + count + 1
    return value, len(data)


def serial_types(payload: bytes) -> tuple[list[int], int]:
    """The types of a record's values, and the offset of the values; none if the record's header is damaged."""
    size, place = varint(payload, 0)
    if size > len(payload):
        return [], 0
    types = []
    while place < size:
        kind, place = varint(payload[:size], place)
        types.append(kind)
    return types, size


def values(payload: bytes) -> list[Value]:
    """The values of a record; those beyond the end of the payload are None."""
    types, place = serial_types(payload)
    found: list[Value] = []
    for kind in types:
        size = _size(kind)
        part = payload[place : place + size]
        place += size
        if kind == 0 or len(part) < size:
            found.append(None)
        elif kind in _INTEGER_BYTES:
            found.append(kind - 8 if kind in (8, 9) else int.from_bytes(part, "big", signed=True))
        else:
            found.append(part.decode(errors="replace") if kind % 2 else part)
    return found


def _size(kind: int) -> int:
    """The size of a value in bytes. A floating-point number, which bags do not contain, has 8."""
    return _INTEGER_BYTES.get(kind, 8) if kind < 12 else (kind - 12) // 2
