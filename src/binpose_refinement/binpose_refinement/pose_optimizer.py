"""Optimization after ICP: refines the best poses of each detection and keeps moves that do not verify worse."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.observation import Observation
from binpose_refinement.verification import heuristic_score, measure

COLORED_SLACK = 0.02
"""Allowed loss of heuristic score for a part with colours: the evidence does not include colour."""

Moves = tuple[FloatArray, FloatArray]
"""Poses (B, 4, 4), and their information (B, 6, 6) as in `icp.Alignment`."""


class PoseOptimizer(Protocol):
    """Render-and-compare, the refinement network, or another method that refines poses."""

    def __call__(self, observation: Observation, batch: HypothesisBatch) -> Moves:
        """Refined poses of all hypotheses, and their information."""
        ...


class VerifiedOptimization:
    """Refines the best `keep` hypotheses of each detection; a pose that verifies worse than before is reset."""

    def __init__(
        self, part_renderer: PartRenderer, optimizer: PoseOptimizer, keep: int, level: int, size_px: int
    ) -> None:
        self._part_renderer, self._optimizer, self._keep = part_renderer, optimizer, keep
        self._level, self._size_px = level, size_px
        self._colored = np.array([part.mesh.colors is not None for part in part_renderer.objects])

    def __call__(
        self, observation: Observation, batch: HypothesisBatch, information: FloatArray, tolerance_m: float
    ) -> tuple[HypothesisBatch, FloatArray]:
        """The refined hypotheses, in their original order.

        Args:
            observation: the frame.
            batch: hypotheses of a detection are consecutive, best first.
            information: (B, 6, 6) about their poses.
            tolerance_m: depth difference that counts as agreement.
        """
        rows = np.flatnonzero(ranks(batch.owner) < self._keep)
        tried = batch.take(rows)
        poses, about = self._optimizer(observation, tried)
        drawable = self._part_renderer.unusable(tried.moved(poses), observation.camera) == ""
        rows, tried, poses, about = rows[drawable], tried.take(drawable), poses[drawable], about[drawable]
        before, after = (self._measured(observation, tried.moved(T), tolerance_m) for T in (tried.T_cam_obj, poses))
        # Heuristic scores, because they do not depend on a calibration.
        slack = np.where(self._colored[tried.part], COLORED_SLACK, 0.0)
        better = heuristic_score(after) >= heuristic_score(before) - slack
        moved, kept = batch.T_cam_obj.copy(), information.copy()
        moved[rows[better]], kept[rows[better]] = poses[better], about[better]
        return batch.moved(moved), kept

    def _measured(self, observation: Observation, batch: HypothesisBatch, tolerance_m: float) -> FloatArray:
        return measure(self._part_renderer, observation, batch, self._level, self._size_px, tolerance_m).features


def ranks(owner: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(B,) number of earlier rows with the same owner."""
    order = np.argsort(owner, kind="stable")
    _, first, counts = np.unique(owner[order], return_index=True, return_counts=True)
    rank = np.empty(len(owner), np.int64)
    rank[order] = np.arange(len(owner)) - np.repeat(first, counts)
    return rank
