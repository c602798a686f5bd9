"""The records of an MCAP file that may end anywhere."""

import os
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import breakup_chunk
from mcap.writer import MCAP0_MAGIC

_RECORD_HEAD = struct.Struct("<BQ")


def whole_records(stream: BinaryIO) -> Iterator[tuple[list[McapRecord], int]]:
    """Schemas, channels and messages that lie whole in a file, by the top-level records that hold them.

    A record that the file cuts off ends it; a chunk with another checksum than it says is left out.

    Args:
        stream: a file, read from its beginning.

    Yields:
        The records, and the bytes of the file that are accounted for by them.
    """
    size = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    if stream.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
        return
    yield [], len(MCAP0_MAGIC)
    while len(head := stream.read(_RECORD_HEAD.size)) == _RECORD_HEAD.size:
        opcode, length = _RECORD_HEAD.unpack(head)
        left = size - stream.tell()
        if opcode == Opcode.DATA_END:  # What follows repeats what was read.
            yield [], left + _RECORD_HEAD.size
            return
        if length > left or opcode == 0:
            return
        if (records := _parsed(opcode, stream.read(length))) is not None:
            yield records, length + _RECORD_HEAD.size


def _parsed(opcode: int, data: bytes) -> list[McapRecord] | None:
    """The records in a record, none in one of no interest; None where it is damaged."""
    source = ReadDataStream(BytesIO(data))
    try:
        if opcode == Opcode.SCHEMA:
            return [Schema.read(source)]
        if opcode == Opcode.CHANNEL:
            return [Channel.read(source)]
        if opcode == Opcode.MESSAGE:
            return [Message.read(source, len(data))]
        return breakup_chunk(Chunk.read(source), validate_crc=True) if opcode == Opcode.CHUNK else []
    except Exception:  # Each library that parses or decompresses has errors of its own, and all mean the same.
        return None
