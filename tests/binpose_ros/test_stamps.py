"""Stamps keep their nanoseconds, and the header of a serialized message is the one inside."""

from typing import Any

import numpy as np
import pytest

from binpose_core.errors import BinposeError
from binpose_ros.images import from_color
from binpose_ros.stamps import Header, ns_to_stamp, serialized_header, stamp_to_ns


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789, -1])
def test_a_stamp_keeps_its_nanoseconds(types: Any, stamp_ns: int) -> None:
    stamp = ns_to_stamp(stamp_ns, types)
    assert 0 <= stamp.nanosec < 1_000_000_000
    assert stamp_to_ns(stamp) == stamp_ns


@pytest.mark.parametrize("frame_id", ["camera", "", "höhle"])
def test_the_header_is_read_from_serialized_data(types: Any, frame_id: str) -> None:
    header = Header(1_700_000_000_123_456_789, frame_id)
    data = types.serialized(from_color(np.zeros((2, 3), np.uint8), header, types))
    assert serialized_header(data) == header


@pytest.mark.parametrize("data", [b"", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 12])
def test_what_holds_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(BinposeError, match="header"):
        serialized_header(data)
