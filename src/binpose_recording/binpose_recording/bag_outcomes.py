"""The outcomes of picks in a bag, by the frames that they belong to.

A recorder keeps one frame of each resting scene. The image that a grasp was planned in is often another one of the same
scene. An outcome therefore belongs to the frame with its stamp or, without one, to the last frame that is at most
`SETTLE_S` later: that long a recorder waits until a scene rests. A successful pick changes the scene. An outcome of a
later image that would belong to the frame before is left out.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.pick_outcomes import Outcomes, PickOutcome
from binpose_core.geometry.transforms import FloatArray
from binpose_recording.bag_frames import BagFrame
from binpose_ros.pick_messages import PICK_OUTCOME, read_pick
from binpose_ros.stamps import Header

SETTLE_S = 1.0


@dataclass(frozen=True)
class BagOutcomes:
    """The picks by the name of their frame, in the camera frame, and a sentence about each one that was left out."""

    outcomes: Outcomes
    notes: tuple[str, ...] = ()


@dataclass
class _Matching:
    """The picks of a bag and the frames that they were given to."""

    frames: Sequence[BagFrame]
    outcomes: dict[str, list[PickOutcome]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: dict[int, int] = field(default_factory=dict)  # frames before a successful pick, with the stamp of its image


def bag_outcomes(frames: Sequence[BagFrame]) -> BagOutcomes:
    """The outcomes of the picks in the bag of some frames.

    Args:
        frames: all frames of one bag.
    """
    if not frames:
        return BagOutcomes({})
    bag = frames[0].bag
    topics = [topic for topic, kind in bag.types.items() if kind == PICK_OUTCOME]
    matching = _Matching(sorted(frames, key=lambda frame: frame.color.stamp_ns))
    for place, data in bag.messages(topics) if topics else ():
        try:
            _match(matching, *read_pick(data))
        except BinposeError as error:
            matching.notes.append(f"An outcome on {place.topic} was left out: {error}")
    return BagOutcomes(matching.outcomes, tuple(matching.notes))


def _match(matching: _Matching, header: Header, outcome: PickOutcome) -> None:
    """Give an outcome to its frame.

    Raises:
        BinposeError: if the bag has no frame of its scene, or no transform to the camera.
    """
    index = _frame_of(matching.frames, header.stamp_ns)
    if index < 0 or matching.used.get(index, header.stamp_ns) != header.stamp_ns:
        raise BinposeError(
            f"The bag has no frame of the scene at {header.stamp_ns} ns; expected one before the pick; record with a "
            "larger quota."
        )
    frame = matching.frames[index]
    T_cam_header = _camera_pose(frame, header)
    moved = replace(
        outcome,
        T_cam_obj=T_cam_header @ outcome.T_cam_obj,
        details={**outcome.details, "T_cam_hand": T_cam_header @ outcome.details["T_cam_hand"]},
    )
    if not np.isfinite(moved.T_cam_obj).all():
        raise BinposeError("Its pose holds numbers that are no pose; expected a rotation; check the driver.")
    matching.outcomes.setdefault(frame.name, []).append(moved)
    if outcome.succeeded:
        matching.used[index] = header.stamp_ns


def _frame_of(frames: Sequence[BagFrame], stamp_ns: int) -> int:
    """Index of the frame that shows the scene at a time, -1 for none."""
    stamps = [frame.color.stamp_ns for frame in frames]
    last = bisect_right(stamps, stamp_ns) - 1
    if last >= 0 and stamps[last] == stamp_ns:
        return last
    return bisect_right(stamps, stamp_ns + round(SETTLE_S * 1e9)) - 1


def _camera_pose(frame: BagFrame, header: Header) -> FloatArray:
    """T_cam_header (4, 4): the frame of an outcome, seen by the camera of a recorded frame.

    Without transforms, an outcome in the camera frame is that of a camera at rest.
    """
    frame_id, stamp_ns = frame.frame_id, frame.color.stamp_ns
    if (header.frame_id, header.stamp_ns) == (frame_id, stamp_ns):
        return np.eye(4)
    transforms = frame.transforms
    if transforms is None or not transforms.topics:
        if header.frame_id == frame_id:
            return np.eye(4)
        raise BinposeError(
            f"Its poses are in the frame {header.frame_id!r}, and the bag has no transforms; expected the camera frame "
            f"{frame_id!r} or transforms; record /tf and /tf_static."
        )
    return transforms.relative_pose(Header(stamp_ns, frame_id), header)
