"""Serialized messages are read in both byte orders, and what is damaged is refused."""

import struct
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_ros.images import from_color
from binpose_ros.serialized import Reader, Writer, serialized_header
from binpose_ros.stamps import Header


def written() -> bytes:
    """Fields between which there is padding of every width."""
    writer = Writer()
    writer.header(Header(-1, "höhle"))
    writer.doubles(np.array([1.5, np.nan, -np.inf]))
    writer.text("")
    writer.doubles(np.array([2.5]))
    writer.count(7)
    writer.text("end")
    return writer.finished()


def read(data: bytes) -> list[Any]:
    reader = Reader(data)
    return [
        reader.header(),
        reader.doubles(3).tolist(),
        reader.text(),
        reader.doubles(1)[0],
        reader.count(),
        reader.text(),
    ]


def test_fields_come_back_as_they_were_written() -> None:
    np.testing.assert_equal(read(written()), [Header(-1, "höhle"), [1.5, np.nan, -np.inf], "", 2.5, 7, "end"])


@pytest.mark.parametrize(("kind", "alignment"), [(0, 8), (1, 8), (6, 4), (7, 4)])
def test_both_byte_orders_and_both_alignments_are_read(kind: int, alignment: int) -> None:
    order = "<" if kind & 1 else ">"
    data = bytes([0, kind, 0, 0]) + struct.pack(f"{order}I", 3)
    data += b"\0" * (alignment - 4) + struct.pack(f"{order}d", 0.25)
    reader = Reader(data)
    assert (reader.count(), reader.doubles(1).tolist()) == (3, [0.25])


@pytest.mark.parametrize("length", range(0, len(written()), 3))
def test_a_message_that_ends_early_is_refused(length: int) -> None:
    with pytest.raises(BinposeError, match="ends or is damaged"):
        read(written()[:length])


@pytest.mark.parametrize("frame_id", ["camera", "", "höhle"])
def test_the_header_is_read_from_serialized_data(types: Any, frame_id: str) -> None:
    header = Header(1_700_000_000_123_456_789, frame_id)
    data = types.serialized(from_color(np.zeros((2, 3), np.uint8), header, types))
    assert serialized_header(data) == header


@pytest.mark.parametrize("data", [b"", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 12, b"\0\2\0\0" + b"\0" * 12])
def test_what_holds_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(BinposeError, match="header"):
        serialized_header(data)
