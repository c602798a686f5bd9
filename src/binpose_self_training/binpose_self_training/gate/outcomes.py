"""Recorded picks as evidence: a part that the robot held stood where it was picked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.evaluation.golden import RIGHT
from binpose_core.evaluation.matching import right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.types import PoseEstimate
from binpose_self_training.gate.paired_counts import loss_bounds


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


def agreements(
    picks: Sequence[PickOutcome],
    champion: Sequence[PoseEstimate],
    candidate: Sequence[PoseEstimate],
    errors: Mapping[str, PartErrors],
) -> tuple[tuple[bool, bool], ...]:
    """Whether each model agrees with each pick from a frame: (champion, candidate).

    Args:
        picks: from the frame; those of other parts are left out.
        champion: poses that the champion reports there.
        candidate: poses that the candidate reports there.
        errors: of the parts by id.
    """
    known = [pick for pick in picks if pick.object_id in errors]
    return tuple(
        (reports(pick, champion, errors) is pick.succeeded, reports(pick, candidate, errors) is pick.succeeded)
        for pick in known
    )


def compare_outcomes(pairs: Sequence[tuple[bool, bool]], alpha: float) -> OutcomeComparison | None:
    """The comparison of all picks; None without any.

    Args:
        pairs: from `agreements`.
        alpha: error rate of the statement that the candidate agrees with fewer.
    """
    if not pairs:
        return None
    gained = sum(other and not one for one, other in pairs)
    lost = sum(one and not other for one, other in pairs)
    _, highest = loss_bounds(gained, lost, len(pairs), alpha)
    right = [sum(pair[i] for pair in pairs) for i in (0, 1)]
    return OutcomeComparison(len(pairs), right[0], right[1], gained, lost, highest, "lost" if highest < 0.0 else "kept")


def reports(pick: PickOutcome, poses: Sequence[PoseEstimate], errors: Mapping[str, PartErrors]) -> bool:
    """Whether one of the poses is that of the pick, by the definition of a right pose."""
    same = np.reshape([pose.T_cam_obj for pose in poses if pose.object_id == pick.object_id], (-1, 4, 4))
    found = right_errors_m(errors[pick.object_id], same, np.asarray(pick.T_cam_obj)[None], RIGHT)
    return bool(np.isfinite(found).any())
