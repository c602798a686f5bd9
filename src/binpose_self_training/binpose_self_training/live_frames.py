"""Chooses live frames for the observer: every n-th complete one, still serialized."""

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import IO

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.cdr import CAMERA_INFO, read_image, read_message
from binpose_recording.config import RecorderConfig, Role
from binpose_recording.pairing import Infos, Pair, Pairer
from binpose_ros.frames import to_frame
from binpose_ros.serialized import serialized_header

NS_PER_S = 1e9
REMEMBERED = 64
"""Infos, and stamps for which the time of the running nodes is known."""


@dataclass(frozen=True)
class SerializedMessage:
    """A message and its type."""

    type: str
    data: bytes


@dataclass(frozen=True)
class LiveFrame:
    """A frame as the camera published it.

    stamp_ns: of the colour image. seconds: from the stamp to the poses of the running nodes; NaN where unknown.
    failed: of each pick since the frame before, whether it failed.
    """

    stamp_ns: int
    color: SerializedMessage
    depth: SerializedMessage
    info: SerializedMessage
    seconds: float = float("nan")
    failed: tuple[bool, ...] = ()

    def write(self, pipe: IO[bytes]) -> None:
        """Write the frame: a line of JSON, then the messages.

        Raises:
            OSError: when the reader is gone.
        """
        messages = (self.color, self.depth, self.info)
        line = {
            "stamp_ns": self.stamp_ns,
            "seconds": self.seconds,
            "failed": self.failed,
            "messages": [(m.type, len(m.data)) for m in messages],
        }
        pipe.write(json.dumps(line).encode() + b"\n")
        for message in messages:
            pipe.write(message.data)
        pipe.flush()

    @classmethod
    def receive(cls, pipe: IO[bytes]) -> "LiveFrame | None":
        """The next frame that `write` wrote; None after the last one."""
        if not (text := pipe.readline()):
            return None
        line = json.loads(text)
        color, depth, info = (SerializedMessage(kind, pipe.read(length)) for kind, length in line["messages"])
        return cls(line["stamp_ns"], color, depth, info, line["seconds"], tuple(line["failed"]))

    def read(self) -> RgbdFrame:
        """The undistorted images.

        Raises:
            BinposeError: for messages that are damaged, in an unknown encoding, or do not match each other.
        """
        color, depth = (read_image(message.data, message.type) for message in (self.color, self.depth))
        return to_frame(color, depth, read_message(self.info.data, CAMERA_INFO))


@dataclass
class LiveFrames:
    """Pairs the messages of a camera, and gives every n-th frame. Not thread-safe.

    every: number of complete frames of which one is given.
    """

    every: int
    _count: int = 0
    _pairer: Pairer[SerializedMessage] = field(default_factory=lambda: Pairer(int(RecorderConfig.slop_s * NS_PER_S)))
    _infos: Infos[SerializedMessage] = field(default_factory=lambda: Infos(limit=REMEMBERED))

    def add(self, role: Role, message: SerializedMessage) -> LiveFrame | None:
        """Take a message of the camera; the frame that it completes, if it is the turn of one."""
        try:
            stamp_ns = serialized_header(message.data).stamp_ns
        except BinposeError:  # the recorder and the other nodes report it
            return None
        if role is Role.INFO:
            self._infos.add(stamp_ns, message)
            return None
        add = self._pairer.add_color if role is Role.COLOR else self._pairer.add_depth
        pair = add(stamp_ns, message)
        return None if pair is None else self._turn(pair)

    def _turn(self, pair: Pair[SerializedMessage]) -> LiveFrame | None:
        info = self._infos.at(pair.stamp_ns)
        if info is None or pair.depth is None:
            return None
        self._count += 1
        if (self._count - 1) % self.every:
            return None
        return LiveFrame(pair.stamp_ns, pair.color, pair.depth, info)


@dataclass
class Latencies:
    """How long the running nodes took for a frame, by its stamp."""

    _seconds: OrderedDict[int, float] = field(default_factory=OrderedDict)

    def add(self, stamp_ns: int, arrived_ns: int) -> None:
        """Take the arrival of a frame's poses."""
        self._seconds[stamp_ns] = (arrived_ns - stamp_ns) / NS_PER_S
        while len(self._seconds) > REMEMBERED:
            self._seconds.popitem(last=False)

    def of(self, stamp_ns: int) -> float:
        """The seconds for a frame; NaN where they are not known."""
        return self._seconds.get(stamp_ns, float("nan"))
