"""Which topics of a bag are the camera."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile

from binpose_core.base.errors import BinposeError, UnknownTopic
from binpose_recording.bag_reader import Bag
from binpose_recording.cdr import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, read_image
from binpose_ros.images import COLOR_ENCODINGS, DEPTH_ENCODINGS, LAYOUTS

# What the stages draw for people; it is no camera's.
_DRAWN = ("/instance_mask", "/overlay")
_ALIGNED = ("aligned", "registered")


@dataclass(frozen=True)
class CameraTopics:
    """The topics of a camera; depth is empty for a camera without, and all are before they are chosen."""

    color: str = ""
    depth: str = ""
    info: str = ""


def choose_topics(bag: Bag, wanted: CameraTopics | None = None) -> CameraTopics:
    """The camera's topics in a bag: those that are wanted, the others found by their types, encodings and names.

    Raises:
        BinposeError: where there is none, or no telling which of several.
    """
    wanted = wanted or CameraTopics()
    _check_known(bag, wanted)
    encodings = _encodings(bag)
    infos = [topic for topic, kind in bag.types.items() if kind == CAMERA_INFO and bag.counts[topic]]
    color = wanted.color or _color(bag, encodings, infos)
    info = wanted.info or _info(bag, color, infos)
    return CameraTopics(color, wanted.depth or _depth(bag, encodings, color), info)


def _check_known(bag: Bag, wanted: CameraTopics) -> None:
    for topic in (wanted.color, wanted.depth, wanted.info):
        if topic and not bag.counts.get(topic):
            raise UnknownTopic(
                f"The bag {bag.path} has no messages of {topic}; {_there(bag)}; choose one of them.",
                topic,
                [name for name, count in bag.counts.items() if count],
            )


def _encodings(bag: Bag) -> dict[str, str]:
    """The encoding of the first message of each topic of images, empty where it cannot be read."""
    topics = [topic for topic, kind in bag.types.items() if kind in (IMAGE, COMPRESSED_IMAGE) and bag.counts[topic]]
    pending = {topic for topic in topics if not topic.endswith(_DRAWN)}
    found = {}
    for place, data in bag.messages(pending):
        if place.topic in pending:
            pending.remove(place.topic)
            found[place.topic] = _encoding(data, bag.types[place.topic])
        if not pending:
            break
    return found


def _encoding(data: bytes, kind: str) -> str:
    try:
        return str(read_image(data, kind).encoding)
    except BinposeError:
        return ""  # A broken first message is told when its frame is read.


def _color(bag: Bag, encodings: dict[str, str], infos: Collection[str]) -> str:
    others = [topic for topic, encoding in encodings.items() if not _is_depth(topic, encoding)]
    # One in an unknown encoding is chosen where there is no other, and refused by name when it is read.
    colors = [topic for topic in others if encodings[topic] in COLOR_ENCODINGS] or others
    if not colors:
        raise BinposeError(
            f"The bag {bag.path} has no colour images that can be read; {_there(bag)}; expected sensor_msgs/Image in "
            f"{', '.join(COLOR_ENCODINGS[:6])} or the like; record the camera's colour topic."
        )
    with_info = [topic for topic in colors if _sibling(topic) in infos] or colors
    colored = [topic for topic in with_info if _channels(encodings[topic]) > 1] or with_info
    return _one(bag, _preferred(_raw(colored), ("color", "rgb")), "colour", "--color-topic")


def _depth(bag: Bag, encodings: dict[str, str], color: str) -> str:
    depths = [topic for topic, encoding in encodings.items() if _is_depth(topic, encoding)]
    depths = [topic for topic in depths if encodings[topic] in DEPTH_ENCODINGS] or depths
    nearest = max((_shared(topic, color) for topic in depths), default=0)
    depths = [topic for topic in depths if _shared(topic, color) == nearest]
    return _one(bag, _preferred(_raw(depths), _ALIGNED), "depth", "--depth-topic") if depths else ""


def _shared(topic: str, other: str) -> int:
    """How many of the namespaces two topics have in common: those of one camera share more."""
    parts = zip(topic.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], parts))


def _is_depth(topic: str, encoding: str) -> bool:
    return encoding in DEPTH_ENCODINGS or ("depth" in topic and (encoding == "mono16" or encoding not in LAYOUTS))


def _channels(encoding: str) -> int:
    return LAYOUTS[encoding].channels if encoding in LAYOUTS else 0


def _info(bag: Bag, color: str, infos: Collection[str]) -> str:
    if _sibling(color) in infos:
        return _sibling(color)
    if not infos:
        raise BinposeError(
            f"The bag {bag.path} has no camera info; expected {_sibling(color)}, which tells the intrinsics of "
            f"{color}; record it too."
        )
    return _one(bag, list(infos), "camera info", "--info-topic")


def _sibling(topic: str) -> str:
    """The camera info beside an image, as ROS names them."""
    base = topic.rpartition("/")[0] if topic.endswith(("/compressed", "/compressedDepth")) else topic
    return f"{base.rpartition('/')[0]}/camera_info"


def _raw(topics: list[str]) -> list[str]:
    """Without the compressed ones whose raw images are there too."""
    return [topic for topic in topics if topic.rpartition("/")[0] not in topics]


def _preferred(topics: list[str], words: Collection[str]) -> list[str]:
    return [topic for topic in topics if any(word in topic for word in words)] or topics


def _one(bag: Bag, topics: list[str], what: str, option: str) -> str:
    if len(topics) > 1:
        raise BinposeError(
            f"The bag {bag.path} has several topics of {what}: {', '.join(sorted(topics))}; expected one; choose it "
            f"with {option}."
        )
    return topics[0]


def _there(bag: Bag) -> str:
    named = ", ".join(f"{topic} ({kind.rpartition('/')[2]})" for topic, kind in sorted(bag.types.items()))
    return f"it has {named or 'no topics at all'}"
