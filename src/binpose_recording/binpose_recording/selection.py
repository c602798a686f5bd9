"""Selects the messages to record."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from binpose_core.base.errors import BinposeError
from binpose_recording.config import KeyframeConfig, RecorderConfig, Role
from binpose_recording.keyframes import KeyframeChooser, Thumbnail
from binpose_recording.messages import RawMessage, Topic
from binpose_recording.pairing import Infos, Pair, Pairer
from binpose_ros.serialized import serialized_header

Shrink = Callable[[RawMessage, RawMessage | None], Thumbnail]

_REMEMBERED = 64


@dataclass
class SelectionCounts:
    """Number of frames by result.

    frames: complete ones; compared: with the last keyframe; keyframes: recorded.
    without_info: dropped, because no camera info had arrived; unreadable: dropped; reason: of the last unreadable one.
    """

    frames: int = 0
    compared: int = 0
    keyframes: int = 0
    without_info: int = 0
    unreadable: int = 0
    reason: str = ""


@dataclass
class Selection:
    """Accepts messages as they arrive and returns those to record; see `config.Role` for the rule of each topic.

    Args:
        topics: by name; others are not recorded.
        shrink: thumbnail of a colour and a depth message; raises BinposeError for unreadable ones.
        config: intervals and thresholds.
    """

    topics: dict[str, Topic]
    shrink: Shrink
    config: RecorderConfig
    counts: SelectionCounts = field(default_factory=SelectionCounts)

    def __post_init__(self) -> None:
        with_depth = any(topic.role is Role.DEPTH for topic in list(self.topics.values()))
        self.pairer: Pairer[RawMessage] = Pairer(int(self.config.slop_s * 1e9), with_depth)
        self._infos: Infos[RawMessage] = Infos(limit=_REMEMBERED)
        self._chooser = KeyframeChooser(self.config.keyframes)
        self._context: deque[RawMessage] = deque()
        self._kept_stamps: deque[int] = deque(maxlen=_REMEMBERED)
        self._looked_ns: int | None = None
        self._keyframe_ns: int | None = None

    def choose_by(self, keyframes: KeyframeConfig) -> None:
        """Use other keyframe settings from now on; may be called while another thread adds messages."""
        self.config = replace(self.config, keyframes=keyframes)
        self._chooser.config = keyframes

    def __call__(self, message: RawMessage) -> Iterable[RawMessage]:
        """The messages to write after the arrival of this one."""
        topic = self.topics.get(message.topic)
        if topic is None:
            return ()
        if not self.config.keyframes_only or topic.role is Role.EVENT:
            return (message,)
        if topic.role is Role.CONTEXT:
            return self._context_message(message)
        try:
            stamp_ns = serialized_header(message.data).stamp_ns
        except BinposeError as error:
            return self._unreadable(error)
        if topic.role is Role.RESULT:
            return (message,) if stamp_ns in self._kept_stamps else ()
        if topic.role is Role.INFO:
            self._infos.add(stamp_ns, message)
            return ()
        add = self.pairer.add_color if topic.role is Role.COLOR else self.pairer.add_depth
        pair = add(stamp_ns, message)
        return () if pair is None else self._frame(pair, message.stamp_ns)

    def _frame(self, pair: Pair[RawMessage], now_ns: int) -> Iterable[RawMessage]:
        self.counts.frames += 1
        info = self._infos.at(pair.stamp_ns)
        if info is None:
            self.counts.without_info += 1
            return ()
        if self._looked_ns is not None and 0 <= now_ns - self._looked_ns < 1e9 / self.config.keyframes.check_hz:
            return ()
        self._looked_ns = now_ns
        self.counts.compared += 1
        try:
            thumbnail = self.shrink(pair.color, pair.depth)
        except BinposeError as error:
            return self._unreadable(error)
        if not self._chooser(thumbnail, now_ns):
            return ()
        self.counts.keyframes += 1
        self._kept_stamps.append(pair.stamp_ns)
        self._keyframe_ns = now_ns
        before = list(self._context)
        self._context.clear()
        return [*before, info, pair.color, *([] if pair.depth is None else [pair.depth])]

    def _context_message(self, message: RawMessage) -> Iterable[RawMessage]:
        span_ns = int(self.config.context_s * 1e9)
        if self._keyframe_ns is not None and 0 <= message.stamp_ns - self._keyframe_ns <= span_ns:
            return (message,)
        self._context.append(message)
        while not 0 <= message.stamp_ns - self._context[0].stamp_ns <= span_ns:  # too old, or from another clock
            self._context.popleft()
        return ()

    def _unreadable(self, error: BinposeError) -> Iterable[RawMessage]:
        self.counts.unreadable += 1
        self.counts.reason = str(error)
        return ()
