"""Verified hypotheses, which of them can be there together, and the estimates that they become."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.types import Candidate, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.config import RefinerConfig
from binpose_refinement.covariance import covariance_of
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.suppression import Claims, CollisionCheck
from binpose_refinement.verification import FEATURES, Evidence, explains_mask


@dataclass(frozen=True, eq=False)
class Verified:
    """Polished hypotheses: features (B, F), score (B,), and the information (B, 6, 6) about their poses.

    outside: (B,) whether the evidence lies outside of what the calibration was fitted on.
    """

    batch: HypothesisBatch
    features: FloatArray
    score: FloatArray
    outside: npt.NDArray[np.bool_]
    evidence: Evidence
    information: FloatArray

    def select_jointly(
        self, collision_check: CollisionCheck, camera: Camera, config: RefinerConfig
    ) -> tuple[list[int], dict[int, str]]:
        """The rows that can be there together, best first: each takes its pixels and its space, one per detection.

        Of each detection that is left without any, why its best one cannot be there.
        """
        batch, claims = self.batch, Claims(camera.height, camera.width)
        mine = explains_mask(self.features)
        accepted: list[int] = []
        refused: dict[int, str] = {}

        def intrusion(i: int, j: int) -> float:
            return collision_check.intrusion(batch.part[i], batch.T_cam_obj[i], batch.part[j], batch.T_cam_obj[j])

        for i in np.argsort(-self.score, kind="stable"):
            if any(batch.owner[i] == batch.owner[j] for j in accepted):
                continue
            pixels, window, owner = self.evidence.explained[i], self.evidence.windows[i], int(batch.owner[i])
            if not mine[i]:
                refused.setdefault(owner, "no_overlap")
                continue
            if claims.share(pixels, window) > config.claimed_share:
                refused.setdefault(owner, "duplicate")
                continue
            if any(intrusion(i, j) > config.intrusion_share for j in accepted):
                refused.setdefault(owner, "inside_another")
                continue
            claims.claim(pixels, window)
            accepted.append(int(i))
        taken = set(batch.owner[accepted].tolist())
        return accepted, {owner: reason for owner, reason in refused.items() if owner not in taken}

    def estimate(self, i: int, part_renderer: PartRenderer) -> PoseEstimate:
        """The estimate of a row, with the other hypotheses of its detection."""
        batch, ids = self.batch, part_renderer.ids
        residuals = {name: float(value) for name, value in zip(FEATURES, self.features[i], strict=True)}
        residuals["out_of_distribution"] = float(self.outside[i])
        same = np.flatnonzero(batch.owner == batch.owner[i])
        same = same[np.argsort(-self.score[same], kind="stable")]
        same = np.concatenate([[i], same[same != i]]).astype(np.int64)
        covariance = covariance_of(
            self.information[i], batch.T_cam_obj[i], part_renderer.center_m[batch.part[i]],
            float(part_renderer.diameter_m[batch.part[i]]),
        )  # fmt: skip
        return PoseEstimate(
            ids[batch.part[i]],
            batch.T_cam_obj[i],
            float(self.score[i]),
            detection_index=int(batch.owner[i]),
            covariance=covariance,
            hypotheses=tuple(Hypothesis(ids[batch.part[j]], batch.T_cam_obj[j], float(self.score[j])) for j in same),
            residuals=residuals,
        )

    def candidates(self, ids: Sequence[str]) -> list[Candidate]:
        """All rows."""
        batch = self.batch
        return [
            Candidate(ids[batch.part[i]], batch.T_cam_obj[i], self.features[i], int(batch.owner[i]))
            for i in range(len(batch))
        ]
