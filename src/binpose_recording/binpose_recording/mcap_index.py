"""The index of an MCAP file: the one at its end, or a new one from scanning the whole file if that is damaged."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import ChunkIndex, Footer, MessageIndex, Statistics
from mcap.writer import MCAP0_MAGIC

from binpose_recording.bag_file import Source
from binpose_recording.mcap_blocks import COMPRESSIONS, Block, Definitions, chunk_at, entries
from binpose_recording.mcap_records import FOOTER_BYTES, HEAD, Record, all_records

_RUN_BYTES, _PROBED = 1 << 20, 3
_INNER = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)


@dataclass(frozen=True)
class Lost:
    """Bytes of the file without a readable record, and the number of messages by channel that they contained."""

    offset: int
    end: int
    counts: dict[int, int] = field(default_factory=dict)


@dataclass
class Index:
    """The blocks of a file in order.

    is_stored: whether it is the index at the end of the file.
    lost: damaged regions found by scanning the whole file.
    is_cut: whether the file is truncated.
    """

    blocks: list[Block] = field(default_factory=list)
    definitions: Definitions = field(default_factory=Definitions)
    lost: list[Lost] = field(default_factory=list)
    is_stored: bool = False
    is_cut: bool = False


def stored_index(source: Source) -> Index | None:
    """The index at the end of a file; None if it is missing, incomplete or damaged.

    It is verified by its checksum. Without one it is accepted if its chunks are contiguous and contain as many messages
    as its statistics state.
    """
    tail = source.read(source.size - FOOTER_BYTES - len(MCAP0_MAGIC), FOOTER_BYTES + len(MCAP0_MAGIC))
    if not tail.endswith(MCAP0_MAGIC) or HEAD.unpack_from(tail) != (Opcode.FOOTER, 20):
        return None
    footer = Footer.read(ReadDataStream(BytesIO(tail[HEAD.size :])))
    size = source.size - len(tail) - footer.summary_start
    if not footer.summary_start or size <= 0:
        return None
    summary = source.read(footer.summary_start, size)
    if footer.summary_crc and zlib.crc32(summary + tail[: FOOTER_BYTES - 4]) != footer.summary_crc:
        return None
    try:
        return _parsed(source, summary, footer)
    except Exception:  # invalid lengths, texts and enums raise different errors
        return None


def is_sound(source: Source) -> bool:
    """Whether a file begins and ends as other readers require."""
    return source.read(0, len(MCAP0_MAGIC)) == MCAP0_MAGIC and stored_index(source) is not None


def scanned_index(source: Source) -> Index:
    """The index of a file by scanning the whole file."""
    scan = _Scan(source)
    for record in all_records(source):
        scan.add(record)
    return scan.end()


def _parsed(source: Source, summary: bytes, footer: Footer) -> Index | None:
    index, statistics, chunks = Index(is_stored=True), None, []
    offset = 0
    while offset < len(summary):
        opcode, length = HEAD.unpack_from(summary, offset)
        body = summary[offset + HEAD.size : offset + HEAD.size + length]
        if len(body) < length:
            return None
        if opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            index.definitions.add(opcode, body)
        elif opcode == Opcode.CHUNK_INDEX:
            chunks.append(ChunkIndex.read(ReadDataStream(BytesIO(body))))
        elif opcode == Opcode.STATISTICS:
            statistics = Statistics.read(ReadDataStream(BytesIO(body)))
        offset += HEAD.size + length
    chunks.sort(key=lambda chunk: chunk.chunk_start_offset)
    blocks = [_block(chunk) for chunk in chunks]
    has_checksum = any(block.checksum(source) for block in (*blocks[:_PROBED], *blocks[-_PROBED:]))
    index.blocks = [replace(block, has_checksum=has_checksum) for block in blocks]
    if statistics is None or not _counts_agree(index, statistics):
        return None
    if not footer.summary_crc and not _is_plausible(source, index, chunks, footer):
        return None
    known = all(channel in index.definitions.channels for block in index.blocks for channel in block.counts)
    return index if known else None


def _block(chunk: ChunkIndex) -> Block:
    """A chunk as described in the index; the length of each channel's index gives the number of its messages."""
    end = chunk.chunk_start_offset + chunk.chunk_length
    places = sorted((offset, channel) for channel, offset in chunk.message_index_offsets.items())
    ends = [offset for offset, _ in places[1:]] + [end + chunk.message_index_length]
    counts = {
        channel: (stop - start - HEAD.size - 6) // 16 for (start, channel), stop in zip(places, ends, strict=True)
    }
    return Block(
        chunk.chunk_start_offset,
        end,
        chunk.message_start_time,
        chunk.message_end_time,
        counts,
        chunk.compression,
        chunk.compressed_size,
        chunk.uncompressed_size,
    )


def _counts_agree(index: Index, statistics: Statistics) -> bool:
    counts: dict[int, int] = {}
    for block in index.blocks:
        for channel, count in block.counts.items():
            counts[channel] = counts.get(channel, 0) + count
    stored = {channel: count for channel, count in statistics.channel_message_counts.items() if count}
    return counts == stored and sum(counts.values()) == statistics.message_count


def _is_plausible(source: Source, index: Index, chunks: list[ChunkIndex], footer: Footer) -> bool:
    """Whether an index without a checksum is consistent, also with the definitions in the first chunk."""
    for block, chunk, following in zip(index.blocks, chunks, chunks[1:], strict=False):
        if block.end + chunk.message_index_length != following.chunk_start_offset:
            return False
    fits = all(
        block.compression in COMPRESSIONS
        and len(block.compression or "") + block.stored_bytes + HEAD.size + 40 == block.end - block.offset
        and block.end <= footer.summary_start
        for block in index.blocks
    )
    if not fits:
        return False
    for block in index.blocks[:1]:
        content = block.read(source)
        if content is not None:
            for _ in entries(content, block, index.definitions.channels, index.definitions):
                pass
    return True


class _Scan:
    """Builds an index from the records of a file in order."""

    def __init__(self, source: Source) -> None:
        self.index = Index()
        self._source = source
        self._run: Record | None = None
        self._in_summary = False

    def add(self, record: Record) -> None:
        """Add the next record, or a region without a valid one."""
        if record.opcode in _INNER and not self._in_summary:
            self._extend_run(record)
            return
        self._end_run()
        if record.opcode == 0:
            self._lose(record.offset, record.end)
            if record.end == self._source.size and self._source.read(record.offset, 1) == bytes([Opcode.CHUNK]):
                self._add_chunk(record)
        elif record.opcode == Opcode.CHUNK:
            self._add_chunk(record)
        elif record.opcode == Opcode.MESSAGE_INDEX:
            self._count_lost(record)
        elif record.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            body = self._source.read(record.body, record.end - record.body)
            self.index.definitions.add(record.opcode, body)
        self._in_summary = self._in_summary or record.opcode == Opcode.DATA_END

    def end(self) -> Index:
        """The index after the last record."""
        self._end_run()
        self.index.is_cut = not self._in_summary
        return self.index

    def _end_run(self) -> None:
        """Add the preceding run of records outside of chunks as a block."""
        run, self._run = self._run, None
        if run is None:
            return
        whole = Block(run.offset, run.end, 0, 1 << 64, {})
        self._add_block(whole)

    def _extend_run(self, record: Record) -> None:
        run = self._run
        if run is not None and (run.end != record.offset or run.size > _RUN_BYTES):
            self._end_run()
            run = None
        self._run = record if run is None else Record(run.opcode, run.offset, record.end)

    def _add_chunk(self, record: Record) -> None:
        block = chunk_at(self._source, record.offset, record.end)
        if (block is None or not self._add_block(block)) and record.opcode:
            self._lose(record.offset, record.end)

    def _add_block(self, block: Block) -> bool:
        content = block.read(self._source)
        if content is None:
            return False
        index = self.index
        times: list[int] = []
        counts: dict[int, int] = {}
        for entry in entries(content, block, index.definitions.channels, index.definitions):
            counts[entry.channel_id] = counts.get(entry.channel_id, 0) + 1
            times.append(entry.stamp_ns)
        if times:
            index.blocks.append(replace(block, start_ns=min(times), end_ns=max(times), counts=counts))
        return True

    def _lose(self, offset: int, end: int) -> None:
        lost = self.index.lost
        if lost and lost[-1].end == offset:
            lost[-1] = Lost(lost[-1].offset, end, lost[-1].counts)
        else:
            lost.append(Lost(offset, end))

    def _count_lost(self, record: Record) -> None:
        """Count the lost messages of a damaged chunk from the message indexes that follow it."""
        lost = self.index.lost
        follows = lost and all(block.offset < lost[-1].offset for block in self.index.blocks[-1:])
        if follows:
            body = self._source.read(record.body, record.end - record.body)
            found = MessageIndex.read(ReadDataStream(BytesIO(body)))
            counts = lost[-1].counts
            counts[found.channel_id] = counts.get(found.channel_id, 0) + len(found.records)


def missing(block: Block, found: dict[int, int]) -> dict[int, int]:
    """Number of missing messages of a block by channel."""
    return {
        channel: count - found.get(channel, 0)
        for channel, count in block.counts.items()
        if count > found.get(channel, 0)
    }


def in_order(blocks: list[Block]) -> Iterator[tuple[int, Block]]:
    """Blocks with their numbers, by their start times."""
    return iter(sorted(enumerate(blocks), key=lambda item: (item[1].start_ns, item[1].offset)))
