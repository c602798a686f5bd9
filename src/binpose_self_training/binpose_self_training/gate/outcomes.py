"""Recorded picks as evidence: a part that the robot held stood where it was picked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.evaluation.golden import RIGHT
from binpose_core.evaluation.matching import right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_self_training.gate.paired_counts import loss_bounds


@dataclass(frozen=True, eq=False)
class PickOutcome:
    """A pick from a frame: the pose (4, 4) of the part that the robot went for, and whether it held it after."""

    object_id: str
    T_cam_obj: FloatArray
    succeeded: bool


Outcomes = Mapping[str, Sequence[PickOutcome]]
"""The picks from each frame, by the frame's name."""


@dataclass(frozen=True)
class OutcomeComparison:
    """Recorded picks that the models agree with: they report the pose of a held part, and not that of a missed one.

    picks: that were recorded. champion_right, candidate_right: of these.
    gained, lost: right with one model alone. highest: upper bound of the change of the right fraction.
    state: "kept" or "lost".
    """

    picks: int
    champion_right: int
    candidate_right: int
    gained: int
    lost: int
    highest: float
    state: str


@dataclass
class OutcomeCount:
    """Counts the recorded picks that two models agree with.

    errors: of the parts by id. alpha: error rate of the statement that the candidate agrees with fewer.
    """

    errors: Mapping[str, PartErrors]
    alpha: float
    picks: int = 0
    both: int = 0
    gained: int = 0
    lost: int = 0

    def add(
        self,
        picks: Sequence[PickOutcome],
        champion: Sequence[PoseEstimate],
        candidate: Sequence[PoseEstimate],
    ) -> None:
        """Count the picks from one frame with the poses that each model reports there."""
        for pick in picks:
            if pick.object_id not in self.errors:
                continue
            one, other = (self._reports(pick, poses) is pick.succeeded for poses in (champion, candidate))
            self.picks += 1
            self.both += one and other
            self.gained += other and not one
            self.lost += one and not other

    def result(self) -> OutcomeComparison | None:
        """The comparison; None without picks."""
        if not self.picks:
            return None
        _, highest = loss_bounds(self.gained, self.lost, self.picks, self.alpha)
        state = "lost" if highest < 0.0 else "kept"
        one, other = self.both + self.lost, self.both + self.gained
        return OutcomeComparison(self.picks, one, other, self.gained, self.lost, highest, state)

    def _reports(self, pick: PickOutcome, poses: Sequence[PoseEstimate]) -> bool:
        """Whether one of the poses is that of the pick, by the definition of a right pose."""
        same = np.reshape([pose.T_cam_obj for pose in poses if pose.object_id == pick.object_id], (-1, 4, 4))
        found = right_errors_m(self.errors[pick.object_id], same, np.asarray(pick.T_cam_obj)[None], RIGHT)
        return bool(np.isfinite(found).any())
