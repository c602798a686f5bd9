"""Frames of one resting bin with known camera poses, grouped from any kind of recorded frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.folder import FrameSource
from binpose_core.geometry.transforms import FloatArray

MOST_VIEWS = 16
"""Bins with more views are not fused unless a number of views is chosen: they are probably a film."""
SAME_POSE_M, SAME_POSE_RAD = 1e-3, 1e-3


class ViewSource(FrameSource, Protocol):
    """A frame that may know where its camera was."""

    @property
    def bin_name(self) -> str:
        """Frames with equal names show one resting bin; usable as a file name."""

    def camera_pose(self) -> FloatArray | None:
        """T_world_cam (4, 4) in metres, None where the data do not give it.

        Raises:
            BinposeError: for a pose that is damaged or not rigid.
        """


Source = TypeVar("Source", bound=FrameSource)


@dataclass(frozen=True)
class ViewGroup:
    """Frames that are estimated together; one frame alone is an ordinary one.

    name: of the bin. sources: its frames. notes: why some are not used together.
    """

    name: str
    sources: Sequence[FrameSource]
    notes: tuple[str, ...] = ()


def group_views(sources: Sequence[FrameSource], views: int | None = None) -> list[ViewGroup]:
    """Group the frames of each bin, in the order of their first frames.

    Frames without a camera pose stay alone, with a note where others of their bin have one.

    Args:
        sources: frames of any kind.
        views: largest number of views that are used together, spread over the bin's frames; None = all.
    """
    bins: dict[str, list[FrameSource]] = {}
    for source in sources:
        bins.setdefault(_bin_name(source), []).append(source)
    return [group for name, frames in bins.items() for group in _groups(name, frames, views)]


def _bin_name(source: FrameSource) -> str:
    try:
        return str(getattr(source, "bin_name", "")) or source.name
    except BinposeError:  # a damaged camera file: reading the frame reports it
        return source.name


def _groups(name: str, frames: Sequence[FrameSource], views: int | None) -> list[ViewGroup]:
    poses, notes = [], []
    for frame in frames:
        pose, note = _pose(frame)
        poses.append(pose)
        notes.append(note)
    known = [k for k, pose in enumerate(poses) if pose is not None]
    if len(known) < 2 or views == 1 or _from_one_place([poses[k] for k in known]):
        return [ViewGroup(frame.name, [frame], _own(note)) for frame, note in zip(frames, notes, strict=True)]
    if note := _unsuitable(name, [poses[k] for k in known], views):
        return [ViewGroup(frame.name, [frame], (note,)) for frame in frames]
    alone = [
        ViewGroup(frames[k].name, [frames[k]], (notes[k] or _missing(frames[k]),))
        for k in range(len(frames))
        if k not in known
    ]
    count = 1 if views is None else -(-len(known) // views)
    sets = [[frames[k] for k in known[first::count]] for first in range(count)]
    groups = [ViewGroup(name if count == 1 else f"{name}_{k}", own) for k, own in enumerate(sets)]
    return [*groups, *alone]


def camera_pose_of(source: FrameSource) -> FloatArray | None:
    """T_world_cam (4, 4) of a frame; None where it has none.

    Raises:
        BinposeError: for a pose that is damaged or not rigid.
    """
    read = getattr(source, "camera_pose", None)
    return None if read is None else read()


def _pose(frame: FrameSource) -> tuple[FloatArray | None, str]:
    """A frame's camera pose, and the error where it cannot be used."""
    try:
        return camera_pose_of(frame), ""
    except BinposeError as error:
        return None, f"Frame {frame.name} is used alone: {error}"


def _own(note: str) -> tuple[str, ...]:
    return (note,) if note else ()


def _missing(frame: FrameSource) -> str:
    return (
        f"Frame {frame.name} is used alone: it has no camera pose, unlike others of its bin; expected T_world_cam, or "
        "cam_R_w2c and cam_t_w2c in a BOP data set."
    )


def _unsuitable(name: str, poses: Sequence[FloatArray | None], views: int | None) -> str:
    """Why the frames of a bin are not used together, empty if they can be."""
    if views is None and len(poses) > MOST_VIEWS:
        return (
            f"The {len(poses)} frames of bin {name} are used alone, as more than {MOST_VIEWS} are probably a film; "
            "choose a number of views, such as --views 5, to use them together."
        )
    return ""


def _from_one_place(poses: Sequence[FloatArray | None]) -> bool:
    """Whether a camera did not move: its frames are no views of one bin, but a film of it."""
    given = [pose for pose in poses if pose is not None]
    return all(_is_same(pose, given[0]) for pose in given)


def _is_same(a: FloatArray, b: FloatArray) -> bool:
    return bool(
        np.linalg.norm(a[:3, 3] - b[:3, 3]) < SAME_POSE_M and np.linalg.norm(a[:3, :3] - b[:3, :3]) < SAME_POSE_RAD
    )
