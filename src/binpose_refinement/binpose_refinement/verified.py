"""The estimates of a selected set of hypotheses, each with its alternative poses."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.frames.types import Candidate, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.covariance import covariance_of
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_refinement.pool import HypothesisPool
from binpose_refinement.scene_choice import SCENE_EVIDENCE, SceneChoice
from binpose_refinement.suppression import PoseComparer
from binpose_refinement.verification import FEATURES


@dataclass(frozen=True, eq=False)
class Verified:
    """A pool with scores: features (B, F), score (B,) as the probability of each hypothesis by itself.

    outside: (B,) whether the evidence is out of the calibration's distribution.
    calibrated: whether scores are probabilities; otherwise they only rank poses.
    """

    pool: HypothesisPool
    features: FloatArray
    score: FloatArray
    outside: npt.NDArray[np.bool_]
    calibrated: bool

    def estimates(
        self,
        choice: SceneChoice,
        final: FloatArray,
        part_renderer: PartRenderer,
        comparer: PoseComparer,
        rival_pose: float,
    ) -> list[PoseEstimate]:
        """The estimates of the selected rows, with the probabilities (M,) that they have as a set."""
        rivals = comparer.rivals(self.pool.batch, rival_pose)
        apart = {(int(i), int(j)) for pair in rivals for i, j in (pair, pair[::-1])}
        found = zip(choice.rows.tolist(), choice.evidence, final.tolist(), strict=True)
        return [self._estimate(i, scene, score, part_renderer, apart) for i, scene, score in found]

    def candidates(self, ids: tuple[str, ...]) -> list[Candidate]:
        """All rows."""
        batch = self.pool.batch
        return [
            Candidate(ids[batch.part[i]], batch.T_cam_obj[i], self.features[i], int(batch.owner[i]))
            for i in range(len(batch))
        ]

    def _estimate(
        self, i: int, scene: FloatArray, score: float, part_renderer: PartRenderer, apart: set[tuple[int, int]]
    ) -> PoseEstimate:
        batch, ids = self.pool.batch, part_renderer.ids
        residuals = {name: float(value) for name, value in zip(FEATURES, self.features[i], strict=True)}
        residuals |= {name: float(value) for name, value in zip(SCENE_EVIDENCE, scene, strict=True)}
        residuals["out_of_distribution"] = float(self.outside[i])
        covariance = covariance_of(
            self.pool.information[i], batch.T_cam_obj[i], part_renderer.center_m[batch.part[i]],
            float(part_renderer.diameter_m[batch.part[i]]),
        )  # fmt: skip
        return PoseEstimate(
            ids[batch.part[i]],
            batch.T_cam_obj[i],
            score,
            detection_index=int(batch.owner[i]),
            covariance=covariance,
            hypotheses=tuple(
                Hypothesis(ids[batch.part[j]], batch.T_cam_obj[j], value)
                for j, value in self._alternatives(i, score, apart)
            ),
            residuals=residuals,
        )

    def _alternatives(self, i: int, score: float, apart: set[tuple[int, int]]) -> list[tuple[int, float]]:
        """The row itself and the distinct other poses of its detection, most probable first, with probabilities.

        At most one of them is right, so the others share what the selected pose leaves.
        """
        same = np.flatnonzero(self.pool.batch.owner == self.pool.batch.owner[i])
        listed = [i]
        for j in same[np.argsort(-self.score[same], kind="stable")].tolist():
            if all((j, k) in apart for k in listed):
                listed.append(j)
        own = self.score[listed[1:]]
        shared = remaining_probability(score, own) if self.calibrated else own
        return [(i, score), *zip(listed[1:], shared.tolist(), strict=True)]


def remaining_probability(score: float, others: FloatArray) -> FloatArray:
    """(N,) probabilities of the alternatives of a pose, scaled down where they sum to more than it leaves."""
    return np.asarray(others * min(1.0, (1.0 - score) / max(float(others.sum()), 1e-9)))
