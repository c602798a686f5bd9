"""The messages that a late subscriber of latched topics would receive."""

from binpose_core.base.errors import BinposeError
from binpose_recording.cdr import read_message
from binpose_recording.messages import RawMessage, Topic

TRANSFORMS = "tf2_msgs/msg/TFMessage"


class Latched:
    """Holds the last message of each latched topic.

    Many nodes publish static transforms on one topic; of these, the last message for each set of frames is held.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], tuple[RawMessage, Topic]] = {}

    def add(self, message: RawMessage, topic: Topic) -> None:
        """Store a message; messages of topics that are not latched are ignored."""
        if topic.latched:
            key = (topic.name, *_frames(message.data, topic.type))
            self._held.pop(key, None)  # the newest is last: it overrides older ones for the same frame
            self._held[key] = (message, topic)

    def messages(self, stamp_ns: int) -> list[tuple[RawMessage, Topic]]:
        """The stored messages in the order of arrival, with the given time of reception."""
        return [(message._replace(stamp_ns=stamp_ns), topic) for message, topic in self._held.values()]


def _frames(data: bytes, kind: str) -> list[str]:
    if kind != TRANSFORMS:
        return []
    try:
        return sorted(str(item.child_frame_id) for item in read_message(data, kind).transforms)
    except BinposeError:
        return []
