"""Time stamps and headers."""

from typing import Any, NamedTuple

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
