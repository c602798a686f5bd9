"""Coarse-to-fine alignment: reduces all hypotheses to the best distinct ones of each detection."""

from dataclasses import replace

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.config import RefinerConfig
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.icp import Alignment, Schedule, align
from binpose_refinement.observation import Observation
from binpose_refinement.pose_optimizer import PoseOptimizer, VerifiedOptimization
from binpose_refinement.suppression import PoseComparer

COARSE, POLISH, VERIFY = 0, 1, 2
"""Levels of detail of the refiner's `PartRenderer`."""


class CoarseToFine:
    """ICP of all hypotheses, then of the better ones, then of the best under their near-symmetries; then the optimizer.

    Args:
        part_renderer: with the levels COARSE, POLISH and VERIFY.
        comparer: finds poses that are equal modulo symmetry.
        config: number of rounds, sizes of crops and numbers of hypotheses kept.
        optimizer: runs after ICP; None for ICP alone.
    """

    def __init__(
        self,
        part_renderer: PartRenderer,
        comparer: PoseComparer,
        config: RefinerConfig,
        optimizer: PoseOptimizer | None,
    ) -> None:
        self._part_renderer, self._comparer, self._config, self._optimizer = part_renderer, comparer, config, optimizer

    def __call__(
        self, observation: Observation, batch: HypothesisBatch, tolerance_m: float
    ) -> tuple[HypothesisBatch, FloatArray]:
        """The best distinct poses of each detection, aligned, and their information matrices (B, 6, 6)."""
        if not observation.has_depth or not len(batch):
            return batch, np.zeros((len(batch), 6, 6))
        c = self._config
        batch, information = self._aligned(observation, batch, tolerance_m)
        if self._optimizer is None:
            return batch, information
        improve = VerifiedOptimization(self._part_renderer, self._optimizer, c.keep_moved, VERIFY, c.verify_px)
        return improve(observation, batch, information, tolerance_m)

    def _aligned(
        self, observation: Observation, batch: HypothesisBatch, tolerance_m: float
    ) -> tuple[HypothesisBatch, FloatArray]:
        c = self._config
        end_m = max(c.gate_end_m, 3 * observation.noise_m)
        coarse = Schedule(c.coarse_px, COARSE, c.coarse_rounds, c.gate_start, 0.04, end_m, 0.3, 2 * tolerance_m)
        narrow = replace(coarse, rounds=c.narrow_rounds, gate_start=0.8 * c.gate_start)
        polish = Schedule(c.polish_px, POLISH, c.polish_rounds, 0.05, 0.0, end_m, 0.1, tolerance_m)
        finish = Schedule(c.polish_px, POLISH, c.finish_rounds, 0.0, 0.0, end_m, 0.02, tolerance_m)
        batch = batch.take(self._comparer.distinct(batch, batch.confidence, c.same_start, len(batch)))
        # Two rounds are enough to select the hypotheses that are aligned further.
        batch = self._best(batch, align(self._part_renderer, observation, batch, coarse), c.keep_coarse)
        batch = self._best(batch, align(self._part_renderer, observation, batch, narrow), c.keep_best)
        aligned = align(self._part_renderer, observation, batch, polish)
        batch = batch.moved(aligned.T_cam_obj)
        expanded = self._expand(batch, aligned.agreement)
        evaluated = align(self._part_renderer, observation, expanded, replace(finish, rounds=0))
        pairs = zip(vars(aligned).values(), vars(evaluated).values(), strict=True)
        both = Alignment(*(np.concatenate(pair) for pair in pairs))
        batch = self._best(batch.joined(expanded), both, c.keep_best)
        aligned = align(self._part_renderer, observation, batch, finish)
        return batch.moved(aligned.T_cam_obj), aligned.information

    def _expand(self, batch: HypothesisBatch, agreement: FloatArray) -> HypothesisBatch:
        """The best pose of each detection under the near-symmetries of its part."""
        order = np.lexsort((-agreement, batch.owner))
        _, first = np.unique(batch.owner[order], return_index=True)
        near = [self._part_renderer.objects[p].symmetries.near[: self._config.expand_limit] for p in batch.part]
        source = np.repeat(order[first], [len(near[i]) for i in order[first]]).astype(np.int64)
        motions = np.concatenate([np.zeros((0, 4, 4)), *(near[i] for i in order[first])])
        return batch.take(source).turned(motions)

    def _best(self, batch: HypothesisBatch, aligned: Alignment, keep: int) -> HypothesisBatch:
        batch = batch.moved(aligned.T_cam_obj)
        c = self._config
        return batch.take(self._comparer.distinct(batch, aligned.agreement, c.same_pose, keep, c.keep_of_object))
