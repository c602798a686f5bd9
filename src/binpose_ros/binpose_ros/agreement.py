"""Whether reported poses agree with the depth image, and whether their scores can be trusted, over the last frames.

Neither needs labels. The refiner measures both per pose, in `PoseEstimate.residuals`; a model or a camera that cannot
measure them leaves them out.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from binpose_core.base.reasons import Reason
from binpose_core.frames.types import PoseEstimate
from binpose_ros.problems import Problem

DEPTH_AGREEMENT, OUT_OF_DISTRIBUTION = "depth_agreement", "out_of_distribution"  # keys of the residuals
FRAMES = 30
CONSISTENT = 0.8  # of a pose's visible pixels that agree with the depth; also of the reported poses
MOST = 0.5
FEWEST = 5  # poses, below which nothing is reported


class _Figures(NamedTuple):
    """Of one frame's reported poses: how many have a figure, and how many are consistent or unlike the samples."""

    measured: int
    consistent: int
    rated: int
    unlike: int


@dataclass
class Agreement:
    """Figures of the reported poses of the last `FRAMES` frames."""

    _frames: deque[_Figures] = field(default_factory=lambda: deque(maxlen=FRAMES))

    def add(self, poses: Sequence[PoseEstimate]) -> None:
        """Take the reported poses of a frame."""
        agreement = _residuals(poses, DEPTH_AGREEMENT)
        unlike = _residuals(poses, OUT_OF_DISTRIBUTION)
        consistent = sum(value >= CONSISTENT for value in agreement)
        self._frames.append(_Figures(len(agreement), consistent, len(unlike), sum(value > 0.5 for value in unlike)))

    def clear(self) -> None:
        """Forget all."""
        self._frames.clear()

    def values(self) -> dict[str, str]:
        """For the diagnostics; empty when no pose has such figures."""
        found, total = {}, self._total
        if total.measured:
            found["consistent_with_depth"] = f"{total.consistent} of {total.measured}"
        if total.rated:
            last = self._frames[-1]
            found[OUT_OF_DISTRIBUTION] = f"{total.unlike / total.rated:.2f}"
            found[f"{OUT_OF_DISTRIBUTION}_last"] = f"{last.unlike / last.rated:.2f}" if last.rated else ""
        return found

    def problems(self) -> list[Problem]:
        """What is wrong."""
        total, found = self._total, []
        if total.measured >= FEWEST and total.consistent < CONSISTENT * total.measured:
            found.append(
                Problem(
                    Reason.INCONSISTENT_WITH_DEPTH,
                    f"{total.consistent} of {total.measured} reported poses agree with the depth; expected at least "
                    f"{CONSISTENT:.0%}; check the camera info and the parts' meshes, or train with its noise.",
                )
            )
        if total.rated >= FEWEST and total.unlike > MOST * total.rated:
            found.append(
                Problem(
                    Reason.OUT_OF_DISTRIBUTION,
                    f"{total.unlike} of {total.rated} reported poses are unlike those that the scores were calibrated "
                    "with; expected fewer than half; check the camera, or calibrate with frames of it.",
                )
            )
        return found

    @property
    def _total(self) -> _Figures:
        return _Figures(*map(sum, zip(_Figures(0, 0, 0, 0), *self._frames, strict=True)))


def _residuals(poses: Sequence[PoseEstimate], key: str) -> list[float]:
    """The finite values that the poses have of a figure."""
    found = (pose.residuals.get(key, math.nan) for pose in poses)
    return [value for value in found if math.isfinite(value)]
