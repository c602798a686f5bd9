"""Serialized messages and their topics."""

from dataclasses import dataclass
from typing import NamedTuple

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from binpose_core.base.errors import BinposeError
from binpose_recording.config import Role

_FOREVER = QosTime(9223372036, 854775807)


class RawMessage(NamedTuple):
    """A serialized message (CDR with its 4-byte encapsulation header) and its time of reception, ns since the epoch."""

    topic: str
    stamp_ns: int
    data: bytes


def qos(reliable: bool = True, latched: bool = False, depth: int = 10) -> Qos:
    """The quality of service of a publisher; all other policies have ROS 2's defaults."""
    return Qos(
        QosHistory.KEEP_LAST,
        depth,
        QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        _FOREVER,
        _FOREVER,
        QosLiveliness.AUTOMATIC,
        _FOREVER,
        avoid_ros_namespace_conventions=False,
    )


@dataclass(frozen=True)
class Topic:
    """A topic to be recorded.

    type: such as "sensor_msgs/msg/Image".
    qos: profiles of its publishers; `ros2 bag play` uses them.
    """

    name: str
    type: str
    role: Role
    qos: tuple[Qos, ...] = (qos(),)

    def __post_init__(self) -> None:
        if self.type.count("/") != 2 or not self.name.startswith("/"):
            raise BinposeError(
                f"Topic {self.name!r} of type {self.type!r}: expected a full name such as '/tf' and a type such as "
                "'tf2_msgs/msg/TFMessage'."
            )

    @property
    def latched(self) -> bool:
        """Whether a late subscriber receives the last message; each segment then begins with it."""
        return any(profile.durability is QosDurability.TRANSIENT_LOCAL for profile in self.qos)
