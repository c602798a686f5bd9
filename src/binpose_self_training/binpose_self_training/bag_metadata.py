"""metadata.yaml of a bag: what ROS 2 reads first, always made anew from what the files of the bag say."""

import os
import struct
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.writer import MCAP0_MAGIC
from ruamel.yaml import YAML

from binpose_core.errors import BinposeError
from binpose_core.files import write_text
from binpose_self_training.segment import SUFFIX

METADATA = "metadata.yaml"
RECORDING, SNAPSHOT = "recording_", "snapshot_"
REMEDY = "repair it with `binpose bag --repair`"
# The last layout that Humble reads as well as Jazzy: from 9 on, the quality of service is told by names.
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
    try:
        text = (bag / METADATA).read_text(encoding="utf-8")
    except OSError:
        text = ""
    return all(path.name in text for path in segment_paths(bag))


def write_metadata(bag: Path, without: Path | None = None) -> None:
    """Write metadata.yaml for the whole segments in the folder; where there are none it is removed.

    A damaged segment is not named, so that the others can be read and played.

    Args:
        bag: the folder.
        without: a segment that is about to be removed.

    Raises:
        BinposeError: when the disk is full.
    """
    segments = [segment_info(path) for path in segment_paths(bag) if path != without and is_whole(path)]
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
        "storage_identifier": "mcap",
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


@lru_cache(maxsize=4096)
def _segment_info(path: Path, size: int, changed_ns: int) -> SegmentInfo:
    try:
        with path.open("rb") as stream:
            stream.seek(-min(size, len(MCAP0_MAGIC)), os.SEEK_END)
            ends = stream.read() == MCAP0_MAGIC
            stream.seek(0)
            summary = make_reader(stream).get_summary() if ends else None
    except (McapError, OSError, ValueError, KeyError, struct.error, StopIteration) as error:
        raise BinposeError(f"{path} ({size} bytes) cannot be read as MCAP ({error}); {REMEDY}.") from error
    if summary is None or summary.statistics is None:
        raise BinposeError(f"{path} ({size} bytes) has no index: its recorder was killed, or it was cut; {REMEDY}.")
    statistics = summary.statistics
    channels = (
        ChannelInfo(
            channel.topic,
            summary.schemas[channel.schema_id].name if channel.schema_id else "",  # MCAP's 0: without a schema
            statistics.channel_message_counts.get(channel.id, 0),
            channel.metadata.get("offered_qos_profiles", ""),
            channel.metadata.get("topic_type_hash", ""),
        )
        for channel in summary.channels.values()
    )
    return SegmentInfo(
        path, statistics.message_start_time, statistics.message_end_time, statistics.message_count, tuple(channels)
    )


def _number(path: Path) -> int:
    tail = path.stem.rpartition("_")[2]
    return int(tail) if tail.isdigit() else -1
