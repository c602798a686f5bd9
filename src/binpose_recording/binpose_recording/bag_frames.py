"""The frames of a bag as inputs of `binpose estimate`."""

from dataclasses import dataclass, replace
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray
from binpose_recording.bag_reader import Bag, Place
from binpose_recording.bag_topics import CameraTopics, choose_topics
from binpose_recording.bag_transforms import BagTransforms
from binpose_recording.cdr import CAMERA_INFO, read_image, read_message
from binpose_recording.config import RecorderConfig
from binpose_recording.pairing import Infos, Pairer
from binpose_ros.frames import to_frame
from binpose_ros.serialized import serialized_header


@dataclass(frozen=True)
class Stamped:
    """A message in a bag, and the stamp in its header, ns."""

    place: Place
    stamp_ns: int


@dataclass(frozen=True)
class BagFrame:
    """A frame in a bag, read on demand; its name is the stamp of its colour image."""

    bag: Bag
    name: str
    image_id: int
    color: Stamped
    depth: Stamped | None
    info: Stamped
    scene_id: int = 0
    transforms: BagTransforms | None = None

    @property
    def bin_name(self) -> str:
        """All frames of a bag show one resting bin."""
        return self.bag.path.stem

    def camera_pose(self) -> FloatArray | None:
        """T_world_cam (4, 4) from the bag's transforms at the stamp of the colour image; None without any.

        Raises:
            BinposeError: where the transforms do not reach the world frame or that time.
        """
        if self.transforms is None or not self.transforms.topics:
            return None
        return self.transforms.camera_pose(self.frame_id, self.color.stamp_ns)

    @property
    def frame_id(self) -> str:
        """Coordinate frame of the colour image."""
        return serialized_header(self._data(self.color)).frame_id

    def read(self) -> RgbdFrame:
        """The undistorted images, depth in metres or None.

        Raises:
            BinposeError: for messages that are damaged, in an unknown encoding, or do not match each other.
        """
        color = read_image(self._data(self.color), self.bag.types[self.color.place.topic])
        depth = None
        if self.depth is not None:
            depth = read_image(self._data(self.depth), self.bag.types[self.depth.place.topic])
        info = read_message(self._data(self.info), CAMERA_INFO)
        return replace(to_frame(color, depth, info), name=self.name)

    def _data(self, wanted: Stamped) -> bytes:
        for data in self.bag.at(wanted.place):
            if serialized_header(data).stamp_ns == wanted.stamp_ns:
                return data
        raise BinposeError(f"The message of {wanted.place.topic} at {wanted.stamp_ns} ns is gone from {self.bag.path}.")


@dataclass(frozen=True)
class BagFrames:
    """The frames of a bag by time of arrival, and a sentence about each item that was skipped."""

    frames: tuple[BagFrame, ...]
    topics: CameraTopics
    notes: tuple[str, ...] = ()


def bag_frames(
    path: Path | str | Bag,
    wanted: CameraTopics | None = None,
    slop_s: float = RecorderConfig.slop_s,
    world_frame: str = "",
) -> BagFrames:
    """The frames of a bag: colour and depth paired by their stamps, each with the camera info valid at that time.

    A first pass reads only the stamps; images are read with their frame.

    Args:
        path: folder or file, or an open bag.
        wanted: topics, if there is more than one camera.
        slop_s: largest difference between the stamps of colour and depth of a frame.
        world_frame: a frame that rests with the bin, for camera poses; by default the root of the camera's tree.

    Raises:
        BinposeError: if it is not a bag, or has no readable frames.
    """
    bag = path if isinstance(path, Bag) else Bag(path)
    path = bag.path
    topics = choose_topics(bag, wanted)
    pairer: Pairer[Stamped] = Pairer(int(slop_s * 1e9), with_depth=bool(topics.depth))
    infos: Infos[Stamped] = Infos()
    pairs, unreadable = [], 0
    for place, data in bag.messages({topics.color, topics.depth, topics.info} - {""}):
        try:
            item = Stamped(place, serialized_header(data).stamp_ns)
        except BinposeError:
            unreadable += 1
            continue
        if place.topic == topics.info:
            infos.add(item.stamp_ns, item)
            continue
        add = pairer.add_color if place.topic == topics.color else pairer.add_depth
        if (pair := add(item.stamp_ns, item)) is not None:
            pairs.append(pair)
    pairer.finish()
    notes = _notes(bag, pairer, unreadable, topics, slop_s)
    if not pairs:
        raise BinposeError(
            f"The bag {path} has no frame: {' '.join(notes) or 'its topics are empty.'} Expected {topics.color} and "
            f"{topics.depth or 'nothing else'} with stamps at most {slop_s:g} s apart; check the topics."
        )
    names: dict[int, int] = {}
    frames, transforms = [], BagTransforms(bag, world_frame)
    for index, pair in enumerate(pairs):
        info = infos.at(pair.stamp_ns)
        if info is None:
            raise BinposeError(
                f"The bag {path} has no camera info that can be read in {topics.info} ({unreadable} damaged messages); "
                "expected at least one; choose another topic (--info-topic), or record again."
            )
        names[pair.stamp_ns] = names.get(pair.stamp_ns, 0) + 1
        name = _name(pair.stamp_ns, names[pair.stamp_ns])
        frames.append(BagFrame(bag, name, index, pair.color, pair.depth, info, transforms=transforms))
    return BagFrames(tuple(frames), topics, notes)


def _notes(bag: Bag, pairer: Pairer[Stamped], unreadable: int, topics: CameraTopics, slop_s: float) -> tuple[str, ...]:
    notes = [*bag.notes]
    if pairer.colors_without_depth:
        notes.append(
            f"{pairer.colors_without_depth} images of {topics.color} have no depth within {slop_s:g} s and were left "
            "out."
        )
    if unreadable:
        notes.append(f"{unreadable} damaged messages were left out.")
    return tuple(notes)


def _name(stamp_ns: int, count: int) -> str:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return f"{seconds}_{nanoseconds:09d}" + (f"_{count}" if count > 1 else "")
