"""Topics of a damaged file: which of two descriptions to believe, and what a topic without one is."""

import re
from collections.abc import Callable

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_file import Described, StoredTopic
from binpose_recording.cdr import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, read_message, standard_types

_NAME = re.compile(r"/[A-Za-z0-9_/]+")
_TYPE = re.compile(r"[A-Za-z0-9_]+/msg/[A-Za-z0-9_]+")
_IN_METADATA = re.compile(r"name: (\S+)\s+type: (\S+)")


def described_topics(metadata: str) -> list[Described]:
    """Names and types of the topics that the text of metadata.yaml describes, also where it is damaged elsewhere."""
    return [(name, kind) for name, kind in _IN_METADATA.findall(metadata) if _NAME.fullmatch(name)]


def topic_score(described: list[Described]) -> Callable[[StoredTopic], int]:
    """How far a description in a file can be believed: it is a possible one, a known one, that of the metadata."""

    def score(topic: StoredTopic) -> int:
        known = topic.type in standard_types().types
        return sum((is_possible(topic), known, (topic.name, topic.type) in described))

    return score


def is_possible(topic: StoredTopic) -> bool:
    """Whether a name and a type are such as ROS 2 allows; topics of other systems may have no type."""
    return bool(_NAME.fullmatch(topic.name)) and (not topic.type or bool(_TYPE.fullmatch(topic.type)))


def topic_by_content(number: int, data: bytes, free: list[Described]) -> StoredTopic:
    """A topic whose description is lost, by one of its messages.

    Args:
        number: of the topic in the file, which is its name where the metadata do not help.
        data: the message.
        free: what the metadata describe and the file does not; taken where just one has the type of the message.
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
