"""Stamps keep their nanoseconds."""

from typing import Any

import pytest

from binpose_ros.stamps import ns_to_stamp, stamp_to_ns


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789, -1])
def test_a_stamp_keeps_its_nanoseconds(types: Any, stamp_ns: int) -> None:
    stamp = ns_to_stamp(stamp_ns, types)
    assert 0 <= stamp.nanosec < 1_000_000_000
    assert stamp_to_ns(stamp) == stamp_ns
