"""The frames of recordings that a self-training uses: spread, distinct, some of them held out."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, write_json
from binpose_core.datasets.folder import FrameSource
from binpose_core.datasets.pick_outcomes import Outcomes, PickOutcome, read_outcomes
from binpose_core.datasets.view_sources import camera_pose_of, group_views
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import UNKNOWN, LabelledView
from binpose_core.geometry.transforms import FloatArray
from binpose_recording.bag_frames import BagFrame
from binpose_recording.bag_outcomes import BagOutcomes, bag_outcomes
from binpose_self_training.camera_check import other_cameras
from binpose_self_training.config import FramesConfig
from binpose_self_training.gate.other_views import OtherView, other_views
from binpose_simulation.view_store import ViewStore

OUTCOMES = "outcomes.json"
"""File with the outcomes of picks, in the folder of a recording."""
TRIES = 4
"""Frames that are read at most for each that is wanted: the others are damaged, or repeat one."""


@dataclass(frozen=True)
class FrameInfo:
    """Where a stored frame comes from.

    recording: path of the recording. name: of the frame in it. bin: frames with equal names show one resting bin.
    T_world_cam: (4, 4) as nested lists, None where it is not known.
    """

    recording: str
    name: str
    bin: str
    T_world_cam: list[list[float]] | None

    @property
    def place(self) -> tuple[str, str]:
        """Equal for frames of one resting bin."""
        return self.recording, self.bin

    @property
    def camera_pose(self) -> FloatArray | None:
        """T_world_cam (4, 4)."""
        return None if self.T_world_cam is None else np.array(self.T_world_cam)


@dataclass(frozen=True)
class StoredFrame:
    """One of the stored frames as a source that is read on demand, a `ViewSource`."""

    store: ViewStore
    image_id: int
    name: str
    scene_id: int = 0
    info: FrameInfo | None = None

    @property
    def bin_name(self) -> str:
        """Equal for frames of one resting bin."""
        return self.name if self.info is None else "/".join(self.info.place)

    def camera_pose(self) -> FloatArray | None:
        """T_world_cam (4, 4), None where it is not known."""
        return None if self.info is None else self.info.camera_pose

    def read(self) -> RgbdFrame:
        """The frame."""
        return self.store[self.image_id].frame


@dataclass(frozen=True, eq=False)
class RecordedFrames:
    """Frames without labels in a folder.

    store: the views, all of their pixels unknown. infos: of the frames in the same order. notes: a sentence about each
    thing that was left out. outcomes: of picks, by recording.
    """

    store: ViewStore
    infos: Sequence[FrameInfo]
    notes: tuple[str, ...] = ()
    outcomes: Mapping[str, Outcomes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.infos)

    def __iter__(self) -> Iterator[RgbdFrame]:
        return (self.store[index].frame for index in range(len(self)))

    def picks(self, index: int) -> Sequence[PickOutcome]:
        """What the robot picked from a frame."""
        info = self.infos[index]
        return self.outcomes.get(info.recording, {}).get(info.name, ())

    @property
    def sources(self) -> list[StoredFrame]:
        """The frames, each with its own name."""
        return [
            StoredFrame(self.store, index, f"{index:06d}_{info.name}", info=info)
            for index, info in enumerate(self.infos)
        ]

    def groups(self, most: int) -> list[list[StoredFrame]]:
        """The frames in groups of at most `most` views of one resting bin, in the order of their first frames.

        Frames without a camera pose are alone, and so are those of a camera that does not move, and those of bins with
        so many views that they are probably a film.
        """
        parts: list[list[StoredFrame]] = []
        for group in group_views(self.sources):
            own = [source for source in group.sources if isinstance(source, StoredFrame)]
            sets = -(-len(own) // most)
            parts += [own[first::sets] for first in range(sets)]
        return sorted(parts, key=lambda own: own[0].image_id)

    @property
    def outcomes_by_source(self) -> Outcomes:
        """The picks by the names that `sources` have."""
        return {source.name: self.picks(source.image_id) for source in self.sources}

    def views(self, name: str) -> Sequence[OtherView]:
        """Other frames of the bin of a frame that has this name among the `sources`."""
        index = int(name.partition("_")[0])
        own = self._view(index)
        others = [view for other in self.of_bin(index) if (view := self._view(other)) is not None]
        return other_views(own, others) if own is not None else ()

    def _view(self, index: int) -> CameraView | None:
        pose = self.infos[index].camera_pose
        return None if pose is None else CameraView(self.store[index].frame, pose)

    def of_bin(self, index: int) -> list[int]:
        """Other frames of the same bin with a known camera pose; empty where that of this frame is not known."""
        own = self.infos[index]
        if own.T_world_cam is None:
            return []
        return [
            other
            for other, info in enumerate(self.infos)
            if other != index
            and info.T_world_cam is not None
            and (info.recording, info.bin) == (own.recording, own.bin)
        ]

    @property
    def digest(self) -> str:
        """sha256 of what the frames show, for the header of a model."""
        whole = hashlib.sha256()
        for frame in self:
            whole.update(_digest(frame))
        return whole.hexdigest()


@dataclass(frozen=True)
class NamedFrames:
    """A recording: its path, and its frames that are not read yet."""

    path: Path
    frames: Sequence[FrameSource]


def collect_frames(
    recordings: Sequence[NamedFrames], config: FramesConfig, directory: Path
) -> tuple[RecordedFrames, RecordedFrames]:
    """The frames to learn from, and those that are held out, stored in folders of their own.

    What an interrupted run has stored is used as it is.

    Args:
        recordings: read frame by frame, however large they are.
        config: how many frames, and how many are held out.
        directory: of the run.

    Raises:
        BinposeError: if no frame with depth can be read, outcomes of picks are damaged, or the disk is full.
    """
    found = {str(recording.path): _picks(recording) for recording in recordings}
    outcomes = {path: picks.outcomes for path, picks in found.items()}
    notes = tuple(note for picks in found.values() for note in picks.notes)
    learnt, held_out = _frames(recordings, config, directory)
    return replace(learnt, outcomes=outcomes, notes=(*learnt.notes, *notes)), replace(held_out, outcomes=outcomes)


def _picks(recording: NamedFrames) -> BagOutcomes:
    """The picks in a file beside the frames of a recording, or without one those that a bag holds."""
    folder = recording.path if recording.path.is_dir() else recording.path.parent
    if (folder / OUTCOMES).is_file():
        return BagOutcomes(read_outcomes(folder / OUTCOMES))
    return bag_outcomes([frame for frame in recording.frames if isinstance(frame, BagFrame)])


def _frames(
    recordings: Sequence[NamedFrames], config: FramesConfig, directory: Path
) -> tuple[RecordedFrames, RecordedFrames]:
    known = _stored(directory / "frames"), _stored(directory / "held_out")
    if known[0] is not None and known[1] is not None:
        return known[0], known[1]
    split = [_split(recording.frames, config.held_out) for recording in recordings]
    learnt = [NamedFrames(r.path, first) for r, (first, _) in zip(recordings, split, strict=True)]
    kept = [NamedFrames(r.path, last) for r, (_, last) in zip(recordings, split, strict=True)]
    seen: set[bytes] = set()
    frames = _collected(learnt, config.frames, directory / "frames", seen)
    if not len(frames):
        raise BinposeError(
            f"No frame of {', '.join(str(r.path) for r in recordings) or 'no recording'} can be learnt from "
            f"({'; '.join(frames.notes[:3]) or 'there are none'}); expected colour and aligned depth; record both."
        )
    return frames, _collected(kept, config.most_held_out, directory / "held_out", seen)


def spread_order(count: int) -> Iterator[int]:
    """The numbers below `count`, each far from those before: however many are taken, they are spread evenly."""
    bits = max(1, (count - 1).bit_length())
    for number in range(2**bits):
        reversed_number = int(f"{number:0{bits}b}"[::-1], 2)
        if reversed_number < count:
            yield reversed_number


def bins_of(frames: Sequence[FrameSource]) -> list[list[int]]:
    """The indices of the frames in groups of views of one resting bin, see `RecordedFrames.groups`, in their order."""
    sources = list(frames)
    places = {id(source): index for index, source in enumerate(sources)}
    return sorted([places[id(source)] for source in group.sources] for group in group_views(sources))


def _split(frames: Sequence[FrameSource], held_out: float) -> tuple[Sequence[FrameSource], Sequence[FrameSource]]:
    """The frames that are learnt from, at least one where there is any, and the rest; no bin is in both."""
    wanted, learnt = max(1, round(len(frames) * (1.0 - held_out))), set[int]()
    for indices in bins_of(frames):
        if learnt and len(learnt) + len(indices) > wanted:
            break
        learnt.update(indices)
    both = [[source for index, source in enumerate(frames) if (index in learnt) is own] for own in (True, False)]
    return both[0], both[1]


def _collected(recordings: Sequence[NamedFrames], number: int, directory: Path, seen: set[bytes]) -> RecordedFrames:
    """At most `number` distinct frames, as many of each recording as of the others while it has enough.

    The views of a bin are taken together.
    """
    chosen: list[tuple[int, int, RgbdFrame, FrameInfo]] = []
    notes: list[str] = []
    orders = {rank: _order(recording.frames) for rank, recording in enumerate(recordings)}
    tries = TRIES * number
    repeated = 0
    while orders and len(chosen) < number and tries > 0:
        for rank in list(orders):
            index = next(orders[rank], None)
            if index is None:
                del orders[rank]
                continue
            tries -= 1
            frame = _read(recordings[rank].frames[index], notes)
            if frame is None:
                continue
            if _digest(frame) in seen:
                repeated += 1
            elif len(chosen) < number:
                seen.add(_digest(frame))
                chosen.append((rank, index, frame, _info(recordings[rank], recordings[rank].frames[index])))
    if repeated:
        notes.append(f"{repeated} frames repeat others and were left out.")
    notes += other_cameras((info.recording, frame) for _, _, frame, info in chosen)
    return _store(sorted(chosen, key=lambda entry: entry[:2]), directory, tuple(notes))


def _order(frames: Sequence[FrameSource]) -> Iterator[int]:
    """The indices of the frames, bin by bin, each bin far from those before."""
    bins = bins_of(frames)
    return (index for number in spread_order(len(bins)) for index in bins[number])


def _read(source: FrameSource, notes: list[str]) -> RgbdFrame | None:
    try:
        frame = source.read()
    except BinposeError as error:
        notes.append(f"Frame {source.name} was left out: {error}")
        return None
    if frame.depth_m is None:
        notes.append(f"Frame {source.name} was left out: it has no depth.")
        return None
    return frame


def _info(recording: NamedFrames, source: FrameSource) -> FrameInfo:
    try:
        pose = camera_pose_of(source)
        name = str(getattr(source, "bin_name", "")) or source.name
    except BinposeError:  # a damaged camera file: the frame is used alone
        pose, name = None, source.name
    return FrameInfo(str(recording.path), source.name, name, None if pose is None else np.asarray(pose).tolist())


def _digest(frame: RgbdFrame) -> bytes:
    assert frame.depth_m is not None
    return hashlib.sha256(frame.color.tobytes() + frame.depth_m.tobytes()).digest()


def _store(
    chosen: Sequence[tuple[int, int, RgbdFrame, FrameInfo]], directory: Path, notes: tuple[str, ...]
) -> RecordedFrames:
    """Write the frames; the list of them comes last, and without it the folder is not complete."""
    store = ViewStore(directory)
    for _, _, frame, _ in chosen[len(store) :]:
        ids = np.full((frame.camera.height, frame.camera.width), UNKNOWN, np.int16)
        store.append(LabelledView(frame, (), np.zeros((0, 4, 4)), ids, np.zeros(0)))
    infos = [info for _, _, _, info in chosen]
    write_json(directory / "frames.json", {"frames": [vars(info) for info in infos], "notes": list(notes)})
    return RecordedFrames(store, infos, notes)


def _stored(directory: Path) -> RecordedFrames | None:
    """What an earlier run has stored completely."""
    file = directory / "frames.json"
    if not file.is_file():
        return None
    content = read_json(file)
    return RecordedFrames(
        ViewStore(directory), [FrameInfo(**entry) for entry in content["frames"]], tuple(content["notes"])
    )
