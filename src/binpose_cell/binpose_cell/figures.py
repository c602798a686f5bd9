"""Figures of emptied bins: success per try, collisions, cleared bins, picks per hour."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from binpose_cell.clearing import Clearing
from binpose_cell.pick_motion import PickEnd
from binpose_cell.picking_cell import Try
from binpose_core.base.errors import BinposeError
from binpose_core.datasets.pick_outcomes import PickOutcome

Z_95 = 1.959964
WRONG_PART = "WRONG_PART"


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Bounds of a success probability (Wilson, 1927); (0, 1) without a trial.

    Raises:
        BinposeError: unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise BinposeError(f"{successes} successes in {trials} trials; expected at most as many as trials.")
    if trials == 0:
        return 0.0, 1.0
    rate, share = successes / trials, z * z / trials
    middle = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * float(np.sqrt(rate * (1 - rate) / trials + share / (4 * trials)))
    return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True)
class PickFigures:
    """Counts over emptied bins.

    tries, succeeded: picks. collided: approaches that overlapped bin or parts by more than the limit.
    link_contacts: tries in which links of an arm touched anything.
    parts, placed: at the start, and placed. bins, cleared: bins, and those without a part left in them or beside them.
    motion_s: duration of the motions per try, with those of drags. images: per try. drags: number of them.
    ends: number of tries by their end.
    """

    tries: int
    succeeded: int
    collided: int
    link_contacts: int
    parts: int
    placed: int
    bins: int
    cleared: int
    motion_s: float
    images: float
    drags: int
    ends: Counter[str]

    @classmethod
    def of(cls, clearings: Sequence[Clearing], collision_m: float) -> "PickFigures":
        """The figures of some bins; a collision is deeper than `collision_m`."""
        tries = [one for clearing in clearings for one in clearing.tries]
        placed = sum(one.result.succeeded for one in tries)
        dragging_s = sum(clearing.drag_s for clearing in clearings)
        return cls(
            tries=len(tries),
            succeeded=sum(one.succeeded for one in tries),
            collided=sum(one.result.overlap_m > collision_m for one in tries),
            link_contacts=sum(bool(one.result.links) for one in tries),
            parts=sum(clearing.parts for clearing in clearings),
            placed=placed,
            bins=len(clearings),
            cleared=sum(not clearing.left and not clearing.spilled for clearing in clearings),
            motion_s=(sum(one.result.motion_s for one in tries) + dragging_s) / max(len(tries), 1),
            images=max(sum(clearing.images for clearing in clearings) / max(len(tries), 1), 1.0),
            drags=sum(clearing.drags for clearing in clearings),
            ends=Counter(end_of(one) for one in tries),
        )

    @property
    def success_rate(self) -> float:
        """Per try; 0 without a try."""
        return self.succeeded / max(self.tries, 1)

    @property
    def success_interval(self) -> tuple[float, float]:
        """95 % bounds of the success per try."""
        return wilson_interval(self.succeeded, self.tries)

    def picks_per_hour(self, vision_s: float) -> float:
        """Successful picks, if each image with its poses and grasps takes `vision_s`."""
        cycle_s = self.motion_s + self.images * vision_s
        return 3600 * self.success_rate / cycle_s if cycle_s > 0 else 0.0


def end_of(one: Try) -> str:
    """How a try ended, as a code."""
    wrong = one.result.end is PickEnd.PLACED and not one.succeeded
    return WRONG_PART if wrong else one.result.end.name


def outcome_of(one: Try) -> PickOutcome:
    """The record of a try for `outcomes.json`."""
    grasp, result = one.grasp, one.result
    details = {
        "T_cam_hand": grasp.T_cam_hand,
        "pose_score": one.pose.score,
        "grasp_score": grasp.score,
        "planned_width_m": grasp.width_m,
        "width_m": result.width_m,
        "overlap_m": result.overlap_m,
        "slip_m": result.slip_m,
        "end": end_of(one),
        "held": one.held_id,
        "links": list(result.links),
    }
    return PickOutcome(one.pose.object_id, one.pose.T_cam_obj, one.succeeded, details)
