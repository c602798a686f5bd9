"""metadata.yaml of a bag: what ROS 2 reads first, always made anew from what the files of the bag say."""

from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.base.files import write_text
from binpose_recording.bag_opening import SQLITE_SUFFIX, has_index, open_file
from binpose_recording.segment import SUFFIX

METADATA = "metadata.yaml"
RECORDING, SNAPSHOT = "recording_", "snapshot_"
REMEDY = "repair it with `binpose bag --repair`"
# The last layout that Humble reads as well as Jazzy: from 9 on, names state the quality of service.
_VERSION = 8


@dataclass(frozen=True)
class ChannelInfo:
    """A topic in a segment: its messages, and what the metadata repeat of it."""

    topic: str
    type: str
    messages: int
    qos_text: str
    digest: str


@dataclass(frozen=True)
class SegmentInfo:
    """What the index of a whole segment tells; times in ns."""

    path: Path
    start_ns: int
    end_ns: int
    messages: int
    channels: tuple[ChannelInfo, ...]


def segment_paths(bag: Path, suffix: str = SUFFIX) -> list[Path]:
    """The closed segments of a bag in their order: by the number at the end of their names."""
    return sorted(bag.glob(f"[!.]*{suffix}"), key=lambda path: (_number(path), path.name))


def segment_info(path: Path) -> SegmentInfo:
    """The index of a whole segment.

    Raises:
        BinposeError: for a file without one.
    """
    stat = path.stat()
    return _segment_info(path, stat.st_size, stat.st_mtime_ns)


def is_whole(path: Path) -> bool:
    """Whether an MCAP file has its index, which is written last."""
    try:
        segment_info(path)
    except BinposeError:
        return False
    return True


def names_all_segments(bag: Path) -> bool:
    """Whether metadata.yaml names every segment; it does not where the recorder died between the two."""
    text = metadata_text(bag)
    return all(path.name in text for path in bag_segments(bag))


def agrees_with_files(bag: Path) -> bool:
    """Whether metadata.yaml can be read and says what the whole segments in the folder say."""
    segments = [segment_info(path) for path in bag_segments(bag) if is_whole(path)]
    stated = _metadata_content(bag)
    count = sum(item.messages for item in segments)
    return named_files(bag) == [item.path.name for item in segments] and stated.get("message_count") == count


def bag_segments(bag: Path) -> list[Path]:
    """The closed segments of a bag in either storage."""
    return segment_paths(bag) or segment_paths(bag, SQLITE_SUFFIX)


def write_metadata(bag: Path, without: Path | None = None) -> None:
    """Write metadata.yaml for the whole segments in the folder; where there are none it is removed.

    A damaged segment is not named, so that the others can be read and played.

    Args:
        bag: the folder.
        without: a segment that is about to be removed.

    Raises:
        BinposeError: when the disk is full.
    """
    segments = [segment_info(path) for path in bag_segments(bag) if path != without and is_whole(path)]
    if not segments:
        (bag / METADATA).unlink(missing_ok=True)
        return
    yaml, stream = YAML(typ="safe"), StringIO()
    yaml.default_flow_style, yaml.width = False, 1000
    yaml.dump({"rosbag2_bagfile_information": metadata(segments)}, stream)
    write_text(bag / METADATA, stream.getvalue())


def metadata(segments: list[SegmentInfo]) -> dict[str, Any]:
    """The content of metadata.yaml."""
    start_ns, end_ns = min(item.start_ns for item in segments), max(item.end_ns for item in segments)
    return {
        "version": _VERSION,
        "storage_identifier": "mcap" if segments[0].path.name.endswith(SUFFIX) else "sqlite3",
        "duration": {"nanoseconds": end_ns - start_ns},
        "starting_time": {"nanoseconds_since_epoch": start_ns},
        "message_count": sum(item.messages for item in segments),
        "topics_with_message_count": _topics(segments),
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [item.path.name for item in segments],
        "files": [
            {
                "path": item.path.name,
                "starting_time": {"nanoseconds_since_epoch": item.start_ns},
                "duration": {"nanoseconds": item.end_ns - item.start_ns},
                "message_count": item.messages,
            }
            for item in segments
        ],
        "custom_data": None,
        "ros_distro": "jazzy",
    }


def _topics(segments: list[SegmentInfo]) -> list[dict[str, Any]]:
    channels = [channel for segment in segments for channel in segment.channels]
    counts: dict[str, int] = {}
    for channel in channels:
        counts[channel.topic] = counts.get(channel.topic, 0) + channel.messages
    first = {channel.topic: channel for channel in reversed(channels)}
    return [
        {
            "topic_metadata": {
                "name": topic,
                "type": first[topic].type,
                "serialization_format": "cdr",
                "offered_qos_profiles": first[topic].qos_text,
                "type_description_hash": first[topic].digest,
            },
            "message_count": counts[topic],
        }
        for topic in sorted(counts)
    ]


def metadata_text(bag: Path) -> str:
    """The text of metadata.yaml, empty where there is none."""
    try:
        return (bag / METADATA).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def named_files(bag: Path) -> list[str]:
    """The files that metadata.yaml names; none where it is missing or damaged."""
    return [Path(str(name)).name for name in _metadata_content(bag).get("relative_file_paths") or ()]


def _metadata_content(bag: Path) -> dict[str, Any]:
    try:
        content = dict(YAML(typ="safe").load(metadata_text(bag))["rosbag2_bagfile_information"])
        return content if isinstance(content.get("relative_file_paths"), list) else {}
    except (YAMLError, LookupError, TypeError, ValueError, RecursionError):
        return {}


@lru_cache(maxsize=4096)
def _segment_info(path: Path, size: int, changed_ns: int) -> SegmentInfo:
    if not has_index(path):
        raise BadFile(f"{path} ({size} bytes) has no index: its recorder was killed, or it was cut; {REMEDY}.", path)
    file = open_file(path)
    try:
        if not file.is_whole:
            raise BadFile(f"{path} ({size} bytes) is damaged; {REMEDY}.", path)
        start_ns, end_ns = file.times_ns or (0, 0)
        channels = tuple(
            ChannelInfo(topic.name, topic.type, file.counts.get(number, 0), topic.qos_text, topic.digest)
            for number, topic in file.topics.items()
        )
        return SegmentInfo(path, start_ns, end_ns, sum(file.counts.values()), channels)
    finally:
        file.close()


def _number(path: Path) -> int:
    tail = path.stem.rpartition("_")[2]
    return int(tail) if tail.isdigit() else -1
