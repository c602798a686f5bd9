"""Weights of pseudo labels that balance the directions from which parts are seen."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray

LEAST_WEIGHT = 0.25
"""Weight of labels from the most frequent directions."""
_GOLDEN = (1.0 + 5.0**0.5) / 2.0
DIRECTIONS: FloatArray = np.array(
    [
        np.roll((0.0, a, b * _GOLDEN), shift) / np.hypot(1.0, _GOLDEN)
        for shift in range(3)
        for a in (-1, 1)
        for b in (-1, 1)
    ]
)
"""(12, 3) corners of an icosahedron."""


def view_weights(frames: Sequence[Sequence[PoseEstimate]]) -> list[FloatArray]:
    """(N,) weight in [LEAST_WEIGHT, 1] of each label of each frame.

    Of a part that is mostly seen from one side, labels from that side weigh less. The weight falls with the root of
    the number of labels from a direction, relative to an even distribution.

    Args:
        frames: the accepted poses of each frame.
    """
    bins = [[(pose.object_id, int(seen_from(pose))) for pose in frame] for frame in frames]
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for frame in bins:
        for name, direction in frame:
            counts.setdefault(name, np.zeros(len(DIRECTIONS), np.int64))[direction] += 1
    return [np.array([_weight(counts[name], direction) for name, direction in frame]) for frame in bins]


def seen_from(pose: PoseEstimate) -> int:
    """Index of the direction from which the camera sees a part."""
    R, t = pose.T_cam_obj[:3, :3], pose.T_cam_obj[:3, 3]
    return int((DIRECTIONS @ (R.T @ -t)).argmax())


def _weight(counts: npt.NDArray[np.int64], direction: int) -> float:
    even = counts.sum() / np.count_nonzero(counts)
    return float(np.clip(np.sqrt(even / counts[direction]), LEAST_WEIGHT, 1.0))
