"""All verified hypotheses of a frame, from one look at it or from several."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.hypothesis_batch import HypothesisBatch
from binpose_refinement.verification import Evidence


@dataclass(frozen=True, eq=False)
class HypothesisPool:
    """B measured hypotheses and the poses that could not be verified.

    detections: of all looks; `batch.owner` and all detection indices refer to them.
    batch: the hypotheses, aligned. evidence: what was measured of them.
    information: (B, 6, 6) about their poses, divided by the variance of the depth.
    look: (B,) int64 number of the look that found each, from 0.
    given: the finite input poses, each with its detection.
    rejected: poses without any usable hypothesis, each with the reason.
    lost: the reason for each detection whose hypotheses were lost in the alignment.
    """

    detections: tuple[Detection, ...]
    batch: HypothesisBatch
    evidence: Evidence
    information: FloatArray
    look: npt.NDArray[np.int64]
    given: tuple[tuple[PoseEstimate, int], ...]
    rejected: tuple[tuple[PoseEstimate, str], ...]
    lost: dict[int, str]

    def joined(self, later: "HypothesisPool") -> "HypothesisPool":
        """This pool with the hypotheses of a later one, whose detections begin with those of this pool."""
        return HypothesisPool(
            later.detections,
            self.batch.joined(later.batch),
            self.evidence.joined(later.evidence),
            np.concatenate([self.information, later.information]),
            np.concatenate([self.look, later.look]),
            self.given + later.given,
            self.rejected + later.rejected,
            {**self.lost, **later.lost},
        )

    def unverified(self, reasons: dict[int, str]) -> Iterable[tuple[PoseEstimate, str]]:
        """The input poses without a selected hypothesis, each with the reason; `reasons` is by detection."""
        why = {**self.lost, **reasons}
        return (*self.rejected, *((pose, why[owner]) for pose, owner in self.given if owner in why))
