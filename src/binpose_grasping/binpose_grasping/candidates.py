"""The grasps of a part at an estimated pose, and how many of them were refused for which reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.config import PlannerConfig
from binpose_grasping.part_grasps import PartGrasps
from binpose_grasping.refusals import Refusal


@dataclass(frozen=True, eq=False)
class RefusedCandidate:
    """A grasp in the camera frame, its relative quality, and why it is refused."""

    T_cam_hand: FloatArray
    width_m: float
    tool: int
    relative: float
    reason: Refusal


@dataclass(frozen=True, eq=False)
class GraspCandidates:
    """N grasps of one pose in the camera frame, best first, and those that were refused.

    index: of the pose.
    T_cam_hand: (N, 4, 4).
    width_m: (N,) distance of the contacts.
    tool: (N,) index into `TOOLS`.
    relative: (N,) quality relative to the best grasp of the part.
    success: (N,) fraction of pose errors under which the grasp held when it was searched.
    refused: number of refused grasps by reason.
    best_refused: the refused one of the highest quality, or None.
    """

    index: int
    T_cam_hand: FloatArray
    width_m: FloatArray
    tool: npt.NDArray[np.uint8]
    relative: FloatArray
    success: FloatArray
    refused: Counter[Refusal] = field(default_factory=Counter)
    best_refused: RefusedCandidate | None = None

    def __len__(self) -> int:
        return len(self.relative)

    def take(self, chosen: npt.NDArray[Any] | slice) -> "GraspCandidates":
        """Those of an index or boolean array, without any refused ones."""
        T_cam_hand, width_m, tool = self.T_cam_hand[chosen], self.width_m[chosen], self.tool[chosen]
        return GraspCandidates(self.index, T_cam_hand, width_m, tool, self.relative[chosen], self.success[chosen])

    def without_any(self) -> "GraspCandidates":
        """None of them, but with those that were refused."""
        return replace(self.take(slice(0)), refused=self.refused, best_refused=self.best_refused)

    def keep(self, kept: npt.NDArray[np.bool_], reason: Refusal) -> "GraspCandidates":
        """Those for which `kept` (N,) is true; the others are refused for a reason."""
        if kept.all():
            return self
        refused = self.refused + Counter({reason: int((~kept).sum())})
        best, first = self.best_refused, int(np.argmin(kept))
        if best is None or self.relative[first] > best.relative:
            width_m, tool = float(self.width_m[first]), int(self.tool[first])
            best = RefusedCandidate(self.T_cam_hand[first], width_m, tool, float(self.relative[first]), reason)
        return replace(self.take(kept), refused=refused, best_refused=best)


def within_cone(index: int, pose: PoseEstimate, part: PartGrasps, config: PlannerConfig) -> GraspCandidates:
    """The grasps whose approach is within the cone about the direction of approach, at most `tries`.

    The steepest hand of each closing line comes first, by descending quality; then the next steepest of each line.
    """
    grasps = part.grasps
    approach = grasps.T_obj_hand[:, :3, 2] @ (pose.T_cam_obj[:3, :3].T @ config.down.unit)
    within = np.flatnonzero(approach >= np.cos(config.cone_rad) - 1e-12)
    within = within[np.lexsort((-approach[within], part.line[within]))]
    rounds = _places_in_runs(part.line[within])
    order = within[np.lexsort((-part.relative[within], rounds))]
    chosen, rest = order[: config.tries], order[config.tries :]
    refused = +Counter({Refusal.DIRECTION: len(grasps) - len(within), Refusal.NOT_TRIED: len(rest)})
    T_cam_hand = pose.T_cam_obj @ grasps.T_obj_hand[chosen]
    arrays = (grasps.width_m[chosen], grasps.tool[chosen], part.relative[chosen], grasps.success[chosen])
    return GraspCandidates(index, T_cam_hand, *arrays, refused=refused)


def _places_in_runs(values: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """(N,) how many equal values come directly before each one."""
    begins = np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.zeros(0, np.bool_)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(values)), 0))
    return np.asarray(np.arange(len(values)) - first, np.intp)


def joined_candidates(parts: Sequence[GraspCandidates]) -> GraspCandidates:
    """GraspCandidates of one pose in the order of the parts, with all that were refused."""
    names = ("T_cam_hand", "width_m", "tool", "relative", "success")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    refused = sum((part.refused for part in parts), Counter[Refusal]())
    best = max((part.best_refused for part in parts if part.best_refused), key=lambda one: one.relative, default=None)
    return GraspCandidates(parts[0].index, **arrays, refused=refused, best_refused=best)
