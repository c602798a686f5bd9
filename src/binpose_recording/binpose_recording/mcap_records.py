"""The records of an MCAP file in order, and the damaged regions between them (https://mcap.dev/spec)."""

import re
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC

from binpose_recording.bag_file import Source

HEAD = struct.Struct("<BQ")
FOOTER_BYTES = HEAD.size + 20
_WINDOW = 1 << 20
# Number of bytes of a fixed field, or a length field of 4 ("s") or 8 ("q") bytes followed by that many bytes.
_LAYOUTS: dict[int, tuple[int | str, ...]] = {
    Opcode.HEADER: ("s", "s"),
    Opcode.FOOTER: (20,),
    Opcode.SCHEMA: (2, "s", "s", "s"),
    Opcode.CHANNEL: (4, "s", "s", "s"),
    Opcode.MESSAGE: (22,),
    Opcode.CHUNK: (28, "s", "q"),
    Opcode.MESSAGE_INDEX: (2, "s"),
    Opcode.CHUNK_INDEX: (32, "s", 8, "s", 16),
    Opcode.ATTACHMENT: (16, "s", "s", "q", 4),
    Opcode.ATTACHMENT_INDEX: (40, "s", "s"),
    Opcode.STATISTICS: (42, "s"),
    Opcode.METADATA: ("s", "s"),
    Opcode.METADATA_INDEX: (16, "s"),
    Opcode.SUMMARY_OFFSET: (17,),
    Opcode.DATA_END: (4,),
}
# Records whose layout alone distinguishes them from other bytes.
_DISTINCT = frozenset(_LAYOUTS) - {Opcode.MESSAGE, Opcode.SCHEMA, Opcode.CHANNEL, Opcode.HEADER}
_OF_CHUNKS = frozenset({Opcode.CHUNK, Opcode.MESSAGE_INDEX, Opcode.CHUNK_INDEX})
_LOOSE = frozenset({*_DISTINCT, Opcode.MESSAGE, Opcode.SCHEMA, Opcode.CHANNEL})


class Record(NamedTuple):
    """A record of the file with a plausible length; `opcode` 0 stands for bytes that are not a record."""

    opcode: int
    offset: int
    end: int

    @property
    def body(self) -> int:
        """Offset of its content."""
        return self.offset + HEAD.size

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.offset


def record_at(source: Source, offset: int) -> Record | None:
    """The record at an offset; None if its length and its content are inconsistent."""
    head = source.read(offset, HEAD.size)
    if len(head) < HEAD.size:
        return None
    opcode, length = HEAD.unpack(head)
    record = Record(opcode, offset, offset + HEAD.size + length)
    if record.end > source.size or not (opcode in _LAYOUTS or opcode >= 0x80):
        return None
    if opcode in _LAYOUTS and not _fits(source, record):
        return None
    if opcode in (*_DISTINCT, Opcode.HEADER):
        return record
    return record if record.end == source.size or _may_begin(source, record.end) else None


def all_records(source: Source) -> Iterator[Record]:
    """The records up to the footer, including those after damaged regions, and the damaged regions.

    In a file with chunks, messages outside of chunks are ignored after a damaged region: they belong to a chunk whose
    beginning, with its checksum, is lost.
    """
    offset, has_chunks = len(MCAP0_MAGIC), False
    while offset < source.size:
        record = record_at(source, offset)
        if record is None:
            has_chunks = has_chunks or _has_chunks(source, offset)
            opcodes = _DISTINCT if has_chunks else _LOOSE
            found = next(_candidates(source, offset + 1, opcodes), None)
            record = Record(0, offset, source.size if found is None else found.offset)
        yield record
        if record.opcode == Opcode.FOOTER:
            return
        has_chunks = has_chunks or record.opcode in _OF_CHUNKS
        offset = record.end


def _has_chunks(source: Source, offset: int) -> bool:
    """Whether the file has chunks from an offset on; the record at the offset may be damaged or truncated."""
    begun = source.read(offset, 1) == bytes([Opcode.CHUNK])
    return begun or next(_candidates(source, offset, _OF_CHUNKS), None) is not None


def _candidates(source: Source, offset: int, opcodes: Collection[int]) -> Iterator[Record]:
    """Possible records with some opcodes at any position from an offset on."""
    kinds = b"".join(re.escape(bytes([opcode])) for opcode in sorted(opcodes))
    pattern = re.compile(b"(?=[" + kinds + rb"][\s\S]{5}\x00\x00\x00)")  # no record has 2^40 bytes
    while offset < source.size:
        window = source.read(offset, _WINDOW)
        for match in pattern.finditer(window):
            record = record_at(source, offset + match.start())
            if record is not None and _is_convincing(source, record):
                yield record
        offset += max(_WINDOW - HEAD.size + 1, 1)


def _is_convincing(source: Source, record: Record) -> bool:
    if record.opcode == Opcode.FOOTER:
        return source.read(record.end, len(MCAP0_MAGIC)) == MCAP0_MAGIC
    return record.end == source.size or _may_begin(source, record.end)


def _may_begin(source: Source, offset: int) -> bool:
    """Whether a record may begin at an offset, possibly truncated by the end of the file."""
    head = source.read(offset, HEAD.size)
    if len(head) < HEAD.size:
        return True
    opcode, length = HEAD.unpack(head)
    return (opcode in _LAYOUTS or opcode >= 0x80) and length < 1 << 40


def _fits(source: Source, record: Record) -> bool:
    offset = record.body
    for part in _LAYOUTS[record.opcode]:
        if isinstance(part, int):
            offset += part
        else:
            size = 4 if part == "s" else 8
            offset += size + int.from_bytes(source.read(offset, size), "little")
        if offset > record.end:
            return False
    return offset == record.end or record.opcode == Opcode.MESSAGE
