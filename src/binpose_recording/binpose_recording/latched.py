"""The messages that a late subscriber of a latched topic would get."""

from binpose_core.base.errors import BinposeError
from binpose_recording.cdr import read_message
from binpose_recording.messages import RawMessage, Topic

TRANSFORMS = "tf2_msgs/msg/TFMessage"


class Latched:
    """Holds the last message of each latched topic; of static transforms, which many nodes send on one topic, the last
    message for each set of frames.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], tuple[RawMessage, Topic]] = {}

    def add(self, message: RawMessage, topic: Topic) -> None:
        """Take a message; one of a topic that is not latched is ignored."""
        if topic.latched:
            key = (topic.name, *_frames(message.data, topic.type))
            self._held.pop(key, None)  # The last one comes last: it overrules older ones that name the same frame.
            self._held[key] = (message, topic)

    def messages(self, stamp_ns: int) -> list[tuple[RawMessage, Topic]]:
        """What is held, in the order of arrival, as if it were received at that time."""
        return [(message._replace(stamp_ns=stamp_ns), topic) for message, topic in self._held.values()]


def _frames(data: bytes, kind: str) -> list[str]:
    if kind != TRANSFORMS:
        return []
    try:
        return sorted(str(item.child_frame_id) for item in read_message(data, kind).transforms)
    except BinposeError:
        return []
