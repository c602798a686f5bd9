"""Time stamps and headers, also of messages that are still serialized."""

import struct
from typing import Any, NamedTuple

from binpose_core.errors import BinposeError

NS_PER_S = 1_000_000_000


class Header(NamedTuple):
    """When and in which frame a message was made."""

    stamp_ns: int
    frame_id: str


def stamp_to_ns(stamp: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int, types: Any) -> Any:
    """A builtin_interfaces/Time; `types` is a `message_types.MessageTypes`."""
    sec, nanosec = divmod(int(stamp_ns), NS_PER_S)
    return types.Time(sec=sec, nanosec=nanosec)


def to_header(header: Header, types: Any) -> Any:
    """A std_msgs/Header."""
    return types.Header(stamp=ns_to_stamp(header.stamp_ns, types), frame_id=header.frame_id)


def from_header(message: Any) -> Header:
    """The header of a message that has one."""
    return Header(stamp_to_ns(message.header.stamp), str(message.header.frame_id))


def serialized_header(data: bytes) -> Header:
    """The header of a serialized message that begins with one, without reading the rest.

    Args:
        data: CDR with its encapsulation header of four bytes (OMG DDSI-RTPS 10.5).

    Raises:
        BinposeError: when the bytes are too few to hold a header.
    """
    order = "<" if len(data) > 1 and data[1] & 1 else ">"
    try:
        sec, nanosec, length = struct.unpack_from(f"{order}iII", data, 4)
        frame_id = struct.unpack_from(f"{length}s", data, 16)[0].rstrip(b"\0").decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise BinposeError(
            f"A serialized message of {len(data)} bytes without a header ({error}); expected one that begins with "
            "std_msgs/Header; check the type of the topic."
        ) from error
    return Header(sec * NS_PER_S + nanosec, frame_id)
