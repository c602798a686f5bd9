"""Frames of several sensors of one data set, whose images with equal numbers show one bin at one time.

In BOP-Industrial's data sets (IPD, XYZ-IBD) each scene has images of several cameras. The first sensor named is the
reference: its frames keep their names, and results.csv has the poses in its images.
"""

from dataclasses import dataclass
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopFrame
from binpose_core.datasets.folder import FrameSource, Recorded, open_recorded
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray


@dataclass(frozen=True)
class SensorFrame:
    """A frame of one of several sensors; is_reference: whether it is of the first one."""

    frame: BopFrame
    sensor: str
    is_reference: bool

    @property
    def name(self) -> str:
        """That of the frame, with the sensor's for all but the reference."""
        return self.frame.name if self.is_reference else f"{self.frame.name}_{self.sensor}"

    @property
    def scene_id(self) -> int:
        """The number of its scene."""
        return self.frame.scene_id

    @property
    def image_id(self) -> int:
        """The number of its image."""
        return self.frame.image_id

    @property
    def bin_name(self) -> str:
        """Images with one number show one bin."""
        return self.frame.name

    def camera_pose(self) -> FloatArray | None:
        """T_world_cam (4, 4) in metres, see `BopFrame.camera_pose`."""
        return self.frame.camera_pose()

    def read(self) -> RgbdFrame:
        """The images, see `BopFrame.read`."""
        return self.frame.read()


def open_sensors(path: Path | str, split: str | None, sensors: tuple[str, ...]) -> Recorded[FrameSource]:
    """The frames of several sensors of a BOP data set, those of one image together, the reference first.

    Raises:
        BinposeError: for a sensor that is named twice, or as `open_recorded`.
    """
    if len(set(sensors)) < len(sensors):
        raise BinposeError(f"--sensor {','.join(sensors)} names a sensor twice; expected each once; leave one out.")
    found: list[tuple[int, int, int, SensorFrame]] = []
    notes: list[str] = []
    for number, sensor in enumerate(sensors):
        recorded = open_recorded(path, split, sensor)
        frames = [frame for frame in recorded.frames if isinstance(frame, BopFrame)]
        found += [(frame.scene_id, frame.image_id, number, SensorFrame(frame, sensor, number == 0)) for frame in frames]
        notes += recorded.notes
    in_order = [frame for *_, frame in sorted(found, key=lambda entry: entry[:3])]
    return Recorded(in_order, tuple(dict.fromkeys(notes)))
