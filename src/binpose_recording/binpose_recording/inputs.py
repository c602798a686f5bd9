"""Opens the input named by the user: a data set, a folder of images, or a bag."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.folder import FrameSource, open_recorded
from binpose_core.datasets.sensor_frames import open_sensors
from binpose_recording.bag_frames import bag_frames
from binpose_recording.bag_reader import is_bag
from binpose_recording.bag_topics import CameraTopics


@dataclass(frozen=True)
class Inputs:
    """Frames that are not read yet, and a sentence about each item that was skipped."""

    frames: Sequence[FrameSource]
    notes: tuple[str, ...] = ()


def open_inputs(
    path: Path,
    split: str | None = None,
    topics: CameraTopics | None = None,
    sensor: str | None = None,
    world_frame: str = "",
) -> Inputs:
    """The frames at a path.

    Args:
        path: a bag, or an input of `binpose_core.datasets.folder.open_recorded`.
        split: of a BOP data set.
        topics: of a bag with more than one camera.
        sensor: of a BOP data set whose scenes have images of several sensors; several, separated by commas, are views
            of one bin.
        world_frame: of a bag with transforms; see `bag_frames`.

    Raises:
        BinposeError: if there is nothing to read, or an option does not apply to the input.
    """
    wanted = topics or CameraTopics()
    if path.exists() and is_bag(path):
        if split is not None:
            raise BinposeError(f"{path} is a bag, which has no splits; expected no --split; leave it out.")
        if sensor is not None:
            raise BinposeError(f"{path} is a bag, whose cameras are chosen by --color-topic; leave out --sensor.")
        found = bag_frames(path, wanted, world_frame=world_frame)
        return Inputs(found.frames, found.notes)
    if world_frame:
        raise BinposeError(f"{path} is no bag; expected one with --world-frame; leave it out.")
    if wanted != CameraTopics():
        raise BinposeError(f"{path} is no bag; expected one with --color-topic and the like; leave them out.")
    sensors = tuple(filter(None, (sensor or "").split(",")))
    recorded = open_sensors(path, split, sensors) if len(sensors) > 1 else open_recorded(path, split, sensor)
    return Inputs(recorded.frames, recorded.notes)
