"""The grasps of a part at an estimated pose, and how many of them were refused for which reason."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.grasps import GraspSet
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
class Candidates:
    """Grasps of one pose in the camera frame, best first, and those that were refused.

    index: of the pose.
    T_cam_hand: (N, 4, 4).
    grasps: (N) of them in the part's frame.
    relative: (N,) relative quality.
    refused: number of refused grasps by reason.
    best_refused: the refused one of the highest quality, or None.
    """

    index: int
    T_cam_hand: FloatArray
    grasps: GraspSet
    relative: FloatArray
    refused: Counter[Refusal] = field(default_factory=Counter)
    best_refused: "RefusedCandidate | None" = None

    def __len__(self) -> int:
        return len(self.relative)

    def keep(self, kept: npt.NDArray[np.bool_], reason: Refusal) -> "Candidates":
        """Those for which `kept` (N,) is true; the others are refused for a reason."""
        if kept.all():
            return self
        refused = self.refused + Counter({reason: int((~kept).sum())})
        best, first = self.best_refused, int(np.argmin(kept))
        if best is None or self.relative[first] > best.relative:
            width_m, tool = float(self.grasps.width_m[first]), int(self.grasps.tool[first])
            best = RefusedCandidate(self.T_cam_hand[first], width_m, tool, float(self.relative[first]), reason)
        return Candidates(
            self.index, self.T_cam_hand[kept], self.grasps.take(kept), self.relative[kept], refused, best
        )


def within_cone(index: int, pose: PoseEstimate, part: PartGrasps, config: PlannerConfig) -> Candidates:
    """The best grasps whose approach is within the cone about the direction of approach; then by steepness."""
    grasps = part.grasps
    approach = grasps.T_obj_hand[:, :3, 2] @ pose.T_cam_obj[:3, :3].T
    angle_rad = np.arccos(np.clip(approach @ config.down.unit, -1, 1))
    within = np.flatnonzero(angle_rad <= config.cone_rad)
    order = within[np.lexsort((angle_rad[within], -part.relative[within]))]
    chosen, rest = order[: config.tries], order[config.tries :]
    refused = Counter({Refusal.DIRECTION: len(grasps) - len(within), Refusal.NOT_TRIED: len(rest)})
    T_cam_hand = pose.T_cam_obj @ grasps.T_obj_hand[chosen]
    return Candidates(index, T_cam_hand, grasps.take(chosen), part.relative[chosen], +refused)
