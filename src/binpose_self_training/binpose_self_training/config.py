"""How the recorder records: every default stands here."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from binpose_core.errors import BinposeError
from binpose_ros.settings import StageSettings

Compression = Literal["none", "lz4", "zstd"]


class Role(Enum):
    """What a topic is to the recorder, which decides the messages of it that are kept.

    COLOR, DEPTH, INFO: the parts of a frame; kept where the frame is a keyframe.
    RESULT: computed from a frame and stamped like it; kept with its frame.
    EVENT: rare and worth keeping whenever it comes: model status, pick outcomes, static transforms.
    CONTEXT: frequent; kept around keyframes: transforms.
    """

    COLOR = "color"
    DEPTH = "depth"
    INFO = "info"
    RESULT = "result"
    EVENT = "event"
    CONTEXT = "context"


def _positive(name: str, value: float, meaning: str) -> None:
    if not value > 0:
        raise BinposeError(f"{name} must be above 0, got {value}; it tells {meaning}.")


@dataclass(frozen=True)
class BagConfig:
    """How a bag is written.

    segment_mb, segment_s: a segment (one file of the bag) is closed when it holds that much, or lasted that long.
    sync_s: what was received is on the disk after this time; it bounds what a power cut can take.
    compression: of the chunks inside the file; every MCAP reader undoes it.
    """

    segment_mb: float = 128.0
    segment_s: float = 600.0
    sync_s: float = 0.5
    compression: Compression = "zstd"

    def __post_init__(self) -> None:
        _positive("segment_mb", self.segment_mb, "megabytes of a segment")
        _positive("segment_s", self.segment_s, "seconds of a segment")
        if not 0 < self.sync_s <= 1:
            raise BinposeError(
                f"sync_s must be above 0 and at most 1, got {self.sync_s}; a power cut loses what came within it."
            )
        if self.compression not in ("none", "lz4", "zstd"):
            raise BinposeError(f"compression must be none, lz4 or zstd, got {self.compression!r}; choose one of them.")


@dataclass(frozen=True)
class KeyframeConfig:
    """When a frame is a new keyframe; `binpose_self_training.keyframes` tells what is measured.

    check_hz: frames are looked at no more often than this.
    depth_step_m, gray_step, valid_step: least change of a thumbnail's cell: metres, grey levels, share of valid depth.
    noise_factor: and at least this many times the cell's own fluctuation.
    min_cells: neighbouring cells that must change together.
    patience_s: a scene that never comes to rest gives a keyframe after this time all the same.
    """

    check_hz: float = 5.0
    depth_step_m: float = 0.004
    gray_step: float = 12.0
    valid_step: float = 0.5
    noise_factor: float = 6.0
    min_cells: int = 3
    patience_s: float = 2.0

    def __post_init__(self) -> None:
        _positive("check_hz", self.check_hz, "frames looked at per second")
        _positive("depth_step_m", self.depth_step_m, "metres")
        _positive("gray_step", self.gray_step, "grey levels of 255")
        _positive("valid_step", self.valid_step, "share of valid depth")
        _positive("noise_factor", self.noise_factor, "multiple of a cell's fluctuation")
        _positive("min_cells", self.min_cells, "neighbouring cells")
        _positive("patience_s", self.patience_s, "seconds")


@dataclass(frozen=True)
class RecorderConfig:
    """What the recorder keeps, and where.

    directory: holds one folder per recording (`recording_*`) and per snapshot (`snapshot_*`).
    quota_gb: all of it together takes no more; the oldest unprotected segments go first.
    min_free_gb: the disk keeps this much free, also for everyone else on it.
    keyframes_only: False keeps every frame and message.
    slop_s: colour and depth of one frame are stamped at most this far apart.
    context_s: transforms this long before and after a keyframe are kept.
    snapshot_s, snapshot_mb: the last messages that are held in memory for a snapshot.
    queue_mb: what may wait for a slow disk; more is dropped and counted.
    """

    directory: Path = Path("recordings")
    quota_gb: float = 20.0
    min_free_gb: float = 1.0
    keyframes_only: bool = True
    slop_s: float = StageSettings.slop_s
    context_s: float = 1.0
    snapshot_s: float = 10.0
    snapshot_mb: float = 256.0
    queue_mb: float = 256.0
    bag: BagConfig = BagConfig()
    keyframes: KeyframeConfig = KeyframeConfig()

    def __post_init__(self) -> None:
        _positive("quota_gb", self.quota_gb, "gigabytes for all recordings")
        _positive("queue_mb", self.queue_mb, "megabytes that may wait for the disk")
        if self.quota_gb * 1e3 < 2 * self.bag.segment_mb:
            raise BinposeError(
                f"quota_gb is {self.quota_gb}, segment_mb {self.bag.segment_mb}; expected room for two segments at "
                "least; raise the one or lower the other."
            )
        for name in ("min_free_gb", "slop_s", "context_s", "snapshot_s", "snapshot_mb"):
            if not getattr(self, name) >= 0:
                raise BinposeError(f"{name} must be 0 or more, got {getattr(self, name)}.")
