"""How the recorder records: every default stands here."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
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


@dataclass(frozen=True)
class BagConfig:
    """How a bag is written.

    segment_mb: a segment (one file of the bag) is closed when it holds so many megabytes.
    segment_s: a segment is closed when it lasted so many seconds.
    sync_s: seconds after which what was received is on the disk; a power cut loses what came within them.
    compression: of the chunks inside the file: none, lz4 or zstd; every MCAP reader undoes it.
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
    """When a frame is a new keyframe; `binpose_recording.keyframes` tells what is measured.

    check_hz: frames that are looked at per second, at most.
    depth_step_m: least change of the depth in a cell of the thumbnail, in metres, that counts.
    gray_step: least change of the brightness in a cell of the thumbnail, in grey levels of 255, that counts.
    valid_step: least change of the share of valid depth in a cell of the thumbnail that counts.
    noise_factor: a change must also be so many times what the cell fluctuates by itself.
    min_cells: neighbouring cells that must change together.
    patience_s: seconds after which a scene that changed and never comes to rest gives a keyframe all the same.
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

    directory: holds one folder per recording (`recording_*`) and per snapshot (`snapshot_*`).
    quota_gb: gigabytes that all recordings together may take; the oldest unprotected segments go first.
    min_free_gb: gigabytes that the disk keeps free, also for everyone else on it.
    keyframes_only: keep the messages of keyframes only; otherwise every frame and message.
    slop_s: largest difference of stamps of a frame's colour image and its depth image, in seconds.
    context_s: transforms are kept for so many seconds before and after a keyframe.
    snapshot_s: seconds of messages that are held in memory for a snapshot.
    snapshot_mb: megabytes of messages, at most, that are held in memory for a snapshot.
    queue_mb: megabytes that may wait for a slow disk; more is dropped and counted.
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
