"""The content of a chunk of an MCAP file, or of a run of records outside of chunks.

A chunk whose checksum fails is lost as a whole, because none of its bytes is reliable. If the recorder wrote no
checksum, the messages before and after a damaged one are found by their lengths, channels and times.
"""

import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Schema

from binpose_recording.bag_file import Source, StoredTopic
from binpose_recording.mcap_records import HEAD

_CHUNK = struct.Struct("<QQQI")
_MESSAGE = struct.Struct("<HIQQ")
_MESSAGE_PATTERN = re.compile(rb"(?=\x05[\s\S]{4}\x00\x00\x00\x00)")
_LARGEST, _LONGEST_NAME = 1 << 32, 16
_STEP = 1 << 16
_INNER = (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)
COMPRESSIONS = ("", "lz4", "zstd")


class Content(NamedTuple):
    """The uncompressed records of a block. has_checksum: they are verified by a checksum."""

    data: bytes
    has_checksum: bool


class Entry(NamedTuple):
    """A message in a block's content, from `start` to `end`, without its header."""

    channel_id: int
    sequence: int
    stamp_ns: int
    publish_ns: int
    start: int
    end: int


@dataclass(frozen=True)
class Block:
    """A part of the file that is read at once: a chunk, or some records outside of chunks.

    offset, end: in the file.
    start_ns, end_ns: of its messages.
    counts: messages by channel.
    compression, stored_bytes, content_bytes: of a chunk; the first is None for records outside of chunks.
    has_checksum: the recorder wrote checksums, so that a chunk without one is damaged.
    is_cut: the chunk is truncated by the end of the file.
    """

    offset: int
    end: int
    start_ns: int
    end_ns: int
    counts: dict[int, int]
    compression: str | None = None
    stored_bytes: int = 0
    content_bytes: int = 0
    has_checksum: bool = False
    is_cut: bool = False

    def read(self, source: Source) -> Content | None:
        """Its records; None if they are damaged."""
        if self.compression is None:
            data = source.read(self.offset, self.end - self.offset)
            return Content(data, has_checksum=False)
        checksum = self.checksum(source)
        stored = source.read(self.end - self.stored_bytes, self.stored_bytes)
        if len(stored) < self.stored_bytes or (self.has_checksum and not checksum):
            return None
        if self.is_cut:
            return Content(_decompressed_beginning(stored, self.compression), has_checksum=False)
        content = _decompressed(stored, self.compression, self.content_bytes)
        if content is None or (checksum and zlib.crc32(content) != checksum):
            return None
        return Content(content, has_checksum=checksum != 0)

    def checksum(self, source: Source) -> int:
        """The checksum of its content, 0 if the recorder wrote none."""
        head = source.read(self.offset + HEAD.size, _CHUNK.size)
        return int(_CHUNK.unpack(head)[3]) if len(head) == _CHUNK.size else 0


@dataclass
class Definitions:
    """Schemas and channels by number, with all their versions in the file."""

    schemas: dict[int, list[Schema]] = field(default_factory=dict)
    channels: dict[int, list[Channel]] = field(default_factory=dict)

    def add(self, opcode: int, body: bytes) -> None:
        """Add a schema or a channel; unreadable ones are skipped."""
        try:
            record = (Schema if opcode == Opcode.SCHEMA else Channel).read(ReadDataStream(BytesIO(body)))
        except Exception:  # invalid lengths and texts raise different errors
            return
        known: dict[int, list[Schema]] | dict[int, list[Channel]]
        known = self.schemas if opcode == Opcode.SCHEMA else self.channels
        versions = known.setdefault(record.id, [])
        if record not in versions:
            versions.append(record)

    def topics(self, score: Callable[[StoredTopic], int]) -> dict[int, StoredTopic]:
        """The topic of each channel: of several versions the one with the highest score, or else the first."""
        found = {}
        for number, channels in self.channels.items():
            versions = [topic for channel in channels for topic in self._versions(channel)]
            if versions:
                found[number] = max(versions, key=score)
        return found

    def _versions(self, channel: Channel) -> list[StoredTopic]:
        none = [Schema(0, b"", "", "")] if channel.schema_id == 0 else []  # MCAP's 0: without a schema
        return [
            StoredTopic(
                channel.topic,
                schema.name,
                schema.data.decode(errors="replace"),
                schema.encoding,
                channel.message_encoding,
                channel.metadata.get("offered_qos_profiles", ""),
                channel.metadata.get("topic_type_hash", ""),
            )
            for schema in self.schemas.get(channel.schema_id, none)
        ]


def chunk_at(source: Source, offset: int, end: int) -> Block | None:
    """The chunk in a record, as described by its header; None if the header is damaged.

    The existing part of a truncated chunk is used if the recorder wrote no checksums: then a complete chunk could not
    be verified either.
    """
    body = offset + HEAD.size
    head = source.read(body, _CHUNK.size + 4)
    if len(head) < _CHUNK.size + 4:
        return None
    start_ns, end_ns, content_bytes, checksum = _CHUNK.unpack_from(head)
    length = int.from_bytes(head[_CHUNK.size :], "little")
    if length > _LONGEST_NAME or content_bytes > _LARGEST:
        return None
    rest = source.read(body + len(head), length + 8)
    compression, stored = rest[:length].decode(errors="replace"), int.from_bytes(rest[length:], "little")
    is_cut = body + len(head) + len(rest) + stored > source.size and not checksum and start_ns <= end_ns
    if compression not in COMPRESSIONS or len(rest) < length + 8:
        return None
    if is_cut:
        stored = source.size - body - len(head) - len(rest)
        end = source.size
    elif body + len(head) + len(rest) + stored != end:
        return None
    return Block(offset, end, start_ns, end_ns, {}, compression, stored, content_bytes, is_cut=is_cut)


def entries(content: Content, block: Block, channels: Collection[int], definitions: Definitions) -> Iterator[Entry]:
    """The messages in a block in order; its schemas and channels are added to `definitions`.

    Args:
        content: of the block.
        block: limits the times of messages after a damaged region.
        channels: known channels; messages after a damaged region must belong to one of them.
        definitions: collects the schemas and channels in the block.
    """
    data, offset, size = content.data, 0, len(content.data)
    while offset + HEAD.size <= size:
        opcode, length = HEAD.unpack_from(data, offset)
        body = offset + HEAD.size
        end = body + length
        if not content.has_checksum and not _is_sound(data, opcode, end, body):
            offset = _next_message(data, offset + 1, block, channels)
            continue
        if end > size:
            return
        if opcode == Opcode.MESSAGE:
            channel, sequence, stamp_ns, publish_ns = _MESSAGE.unpack_from(data, body)
            yield Entry(channel, sequence, stamp_ns, publish_ns, body + _MESSAGE.size, end)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            definitions.add(opcode, data[body:end])
        offset = end


def _is_sound(data: bytes, opcode: int, end: int, body: int) -> bool:
    """Whether a record is followed by another one or the end of the block."""
    if end > len(data) or (opcode == Opcode.MESSAGE and end - body < _MESSAGE.size):
        return False
    if end == len(data):
        return True
    if end + HEAD.size > len(data):
        return False
    opcode, length = HEAD.unpack_from(data, end)
    return opcode in _INNER and length <= len(data)


def _next_message(data: bytes, offset: int, block: Block, channels: Collection[int]) -> int:
    for match in _MESSAGE_PATTERN.finditer(data, offset):
        start = match.start()
        _, length = HEAD.unpack_from(data, start)
        body = start + HEAD.size
        if length < _MESSAGE.size or body + length > len(data):
            continue
        channel, _, stamp_ns, _ = _MESSAGE.unpack_from(data, body)
        if channel in channels and block.start_ns <= stamp_ns <= block.end_ns:
            return start
    return len(data)


def _decompressed(stored: bytes, compression: str, size: int) -> bytes | None:
    if not compression:
        return stored if len(stored) == size else None
    try:
        if compression == "lz4":
            data = lz4.frame.decompress(stored)
        else:
            data = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True).read(size)
    except (zstandard.ZstdError, RuntimeError, ValueError, MemoryError, EOFError):
        return None
    return data if len(data) == size else None


def _decompressed_beginning(stored: bytes, compression: str) -> bytes:
    """The decompressible beginning of truncated data."""
    if not compression:
        return stored
    parts: list[bytes] = []
    one = lz4.frame.LZ4FrameDecompressor() if compression == "lz4" else zstandard.ZstdDecompressor().decompressobj()
    try:
        for start in range(0, len(stored), _STEP):
            parts.append(one.decompress(stored[start : start + _STEP]))
    except (zstandard.ZstdError, RuntimeError, ValueError, MemoryError, EOFError):
        pass
    return b"".join(parts)
