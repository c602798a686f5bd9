"""Topics of a damaged file: selects the more plausible of two descriptions, and infers missing ones."""

import re
from collections.abc import Callable

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_file import Described, StoredTopic
from binpose_recording.cdr import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, read_message, standard_types

_NAME = re.compile(r"/[A-Za-z0-9_/]+")
_TYPE = re.compile(r"[A-Za-z0-9_]+/msg/[A-Za-z0-9_]+")
_IN_METADATA = re.compile(r"name: (\S+)\s+type: (\S+)")


def described_topics(metadata: str) -> list[Described]:
    """Names and types of the topics in the text of metadata.yaml, also if it is damaged elsewhere."""
    return [(name, kind) for name, kind in _IN_METADATA.findall(metadata) if _NAME.fullmatch(name)]


def topic_score(described: list[Described]) -> Callable[[StoredTopic], int]:
    """Plausibility of a description in a file: it is valid, its type is known, it agrees with the metadata."""

    def score(topic: StoredTopic) -> int:
        known = topic.type in standard_types().types
        return sum((is_possible(topic), known, (topic.name, topic.type) in described))

    return score


def is_possible(topic: StoredTopic) -> bool:
    """Whether name and type are valid in ROS 2; topics of other systems may have no type."""
    return bool(_NAME.fullmatch(topic.name)) and (not topic.type or bool(_TYPE.fullmatch(topic.type)))


def topic_by_content(number: int, data: bytes, free: list[Described]) -> StoredTopic:
    """A topic with a lost description, inferred from one of its messages.

    Args:
        number: of the topic in the file, which becomes its name if the metadata are ambiguous.
        data: the message.
        free: topics of the metadata that the file does not describe; used if exactly one has the type of the message.
    """
    kind = _type_of(data)
    names = [name for name, other in free if other == kind]
    return StoredTopic(names[0] if len(names) == 1 else f"/lost_topic_{number}", kind)


def _type_of(data: bytes) -> str:
    for kind in (IMAGE, COMPRESSED_IMAGE, CAMERA_INFO):
        try:
            message = read_message(data, kind)
        except BinposeError:
            continue
        if kind != IMAGE or message.step * message.height == len(message.data):
            return kind
    return ""
