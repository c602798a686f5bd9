"""All defaults of the recorder."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
from binpose_ros.settings import StageSettings

Compression = Literal["none", "lz4", "zstd"]


class Role(Enum):
    """Role of a topic, which determines the messages that are recorded.

    COLOR, DEPTH, INFO: the parts of a frame; recorded if the frame is a keyframe.
    RESULT: computed from a frame and stamped like it; recorded with its frame.
    EVENT: rare and always recorded: model status, pick outcomes, static transforms.
    CONTEXT: frequent; recorded around keyframes: transforms.
    """

    COLOR = "color"
    DEPTH = "depth"
    INFO = "info"
    RESULT = "result"
    EVENT = "event"
    CONTEXT = "context"


@dataclass(frozen=True)
class BagConfig:
    """Format of a bag.

    segment_mb: size in megabytes at which a segment (one file of the bag) is closed.
    segment_s: duration in seconds after which a segment is closed.
    sync_s: interval in seconds between syncs to the disk; a power cut loses at most the messages within it.
    compression: of the chunks inside the file: none, lz4 or zstd; every MCAP reader supports them.
    """

    segment_mb: float = setting(128.0, bounds=(0.01, 1e5))
    segment_s: float = setting(600.0, bounds=(0.1, 1e6))
    sync_s: float = setting(0.5, bounds=(0.01, 1.0))
    compression: Compression = "zstd"

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.compression not in ("none", "lz4", "zstd"):
            raise BinposeError(f"compression must be none, lz4 or zstd, got {self.compression!r}; choose one of them.")


@dataclass(frozen=True)
class KeyframeConfig:
    """Thresholds of new keyframes; see `binpose_recording.keyframes` for the measure.

    check_hz: largest number of frames per second that are checked.
    depth_step_m: least change of the depth in a cell of the thumbnail, in metres, that counts.
    gray_step: least change of the brightness in a cell of the thumbnail, in grey levels of 255, that counts.
    valid_step: least change of the fraction of valid depth in a cell of the thumbnail that counts.
    noise_factor: a change must also exceed this multiple of the cell's own fluctuation.
    min_cells: least number of connected cells that must change.
    patience_s: seconds after which a changed scene that does not come to rest gives a keyframe anyway.
    """

    check_hz: float = setting(5.0, bounds=(0.001, 1e6))
    depth_step_m: float = setting(0.004, bounds=(1e-5, 10.0))
    gray_step: float = setting(12.0, bounds=(0.1, 255.0))
    valid_step: float = setting(0.5, bounds=(0.001, 1.0))
    noise_factor: float = setting(6.0, bounds=(0.01, 1000.0))
    min_cells: int = setting(3, bounds=(1, 1000))
    patience_s: float = setting(2.0, bounds=(0.01, 3600.0))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class RecorderConfig:
    """What the recorder keeps, and where.

    directory: folder with one subfolder per recording (`recording_*`) and per snapshot (`snapshot_*`).
    quota_gb: largest total size of all recordings in gigabytes; the oldest unprotected segments are deleted first.
    min_free_gb: gigabytes that remain free on the disk.
    keyframes_only: record only keyframes and their messages; otherwise every frame and message.
    slop_s: largest difference of stamps of a frame's colour image and its depth image, in seconds.
    context_s: seconds before and after a keyframe for which transforms are recorded.
    snapshot_s: seconds of messages that are held in memory for a snapshot.
    snapshot_mb: largest size in megabytes of the messages that are held in memory for a snapshot.
    queue_mb: largest size in megabytes of the messages that wait for a slow disk; further ones are dropped and counted.
    """

    directory: Path = Path("recordings")
    quota_gb: float = setting(20.0, bounds=(0.001, 1e6))
    min_free_gb: float = setting(1.0, bounds=(0.0, 1e6))
    keyframes_only: bool = True
    slop_s: float = setting(StageSettings.slop_s, bounds=(0.0, 1.0))
    context_s: float = setting(1.0, bounds=(0.0, 3600.0))
    snapshot_s: float = setting(10.0, bounds=(0.0, 3600.0))
    snapshot_mb: float = setting(256.0, bounds=(0.0, 1e5))
    queue_mb: float = setting(256.0, bounds=(0.001, 1e5))
    bag: BagConfig = BagConfig()
    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig, metadata={"live": True})

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.quota_gb * 1e3 < 2 * self.bag.segment_mb:
            raise BinposeError(
                f"quota_gb is {self.quota_gb}, segment_mb {self.bag.segment_mb}; expected room for two segments at "
                "least; raise the one or lower the other."
            )
