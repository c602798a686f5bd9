"""The evidence of all views for and against poses in the world, and the probability that follows from it.

Log-odds of several views are not independent: similar surfaces mislead all views in the same way. Their weights are
therefore fitted, and smaller than one. A view that does not see a part, because it is occluded or outside the image,
counts neither for nor against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_pipeline.scene.config import ViewFusionConfig
from binpose_pipeline.scene.view_agreement import ViewAgreement, capped_log_odds
from binpose_pipeline.scene.world_hypotheses import WorldHypothesis

PIXEL_STEP = 5.0
"""Neighbouring pixels that count as one."""


@dataclass(frozen=True, eq=False)
class SceneEvidence:
    """What all views say about H hypotheses, each (H,).

    own: log-odds of the best view's own result.
    first: 1 where that view prefers it to the other hypotheses of its detection.
    proposed: sum of the log-odds of all views that propose it.
    views: number of other views that propose it.
    measured: mean of the log-odds that are measured in views with a detection there, by how much they see.
    free: minus the sum of the fractions of free space where the part should be seen.
    pixels: log10 of the number of pixels of all views whose depth agrees.
    """

    own: FloatArray
    first: FloatArray
    proposed: FloatArray
    views: FloatArray
    measured: FloatArray
    free: FloatArray
    pixels: FloatArray

    def of(self, i: int) -> dict[str, float]:
        """What is known about hypothesis i, by name."""
        return {name: float(values[i]) for name, values in vars(self).items()}


def scene_evidence(
    hypotheses: Sequence[WorldHypothesis], agreements: Sequence[ViewAgreement], config: ViewFusionConfig
) -> SceneEvidence:
    """Sum up hypotheses (H) and their agreement with each of V views."""
    c = config
    if not hypotheses:
        return SceneEvidence(*[np.zeros(0)] * 7)
    members = [[capped_log_odds(member.score, c.cap_view) for member in h.members] for h in hypotheses]
    found = np.stack([a.log_odds for a in agreements], -1)
    visible = np.stack([a.visible for a in agreements], -1)
    seen = visibility_weight(visible, c)
    detected = np.stack([a.detected for a in agreements], -1) & np.isfinite(found)
    said = np.where(detected, np.clip(found, -c.cap_view, c.cap_view), 0.0) * seen
    agreeing = np.stack([a.agreeing for a in agreements], -1)
    pixels = np.array([sum(len(a.pixels[i]) for a in agreements) for i in range(len(hypotheses))])
    return SceneEvidence(
        own=np.array([capped_log_odds(h.score, c.cap) for h in hypotheses]),
        first=np.array([float(h.members[0].covariance is not None) for h in hypotheses]),
        proposed=np.array([sum(own) for own in members]),
        views=np.array([len(h.views) - 1.0 for h in hypotheses]),
        measured=said.sum(-1) / np.maximum((seen * detected).sum(-1), 0.3),
        free=-((1.0 - agreeing) * seen).sum(-1),
        pixels=np.log10(1.0 + pixels / PIXEL_STEP),
    )


def visibility_weight(visible: FloatArray, config: ViewFusionConfig) -> FloatArray:
    """How much views count that see these fractions of a part: 0 below `least_visible`, 1 from `fully_visible`."""
    low, high = config.least_visible, config.fully_visible
    return np.asarray(np.clip((visible - low) / max(high - low, 1e-9), 0.0, 1.0))


def rank_of(evidence: SceneEvidence, config: ViewFusionConfig) -> FloatArray:
    """(H,) by which the hypotheses of one place are ranked."""
    c, e = config, evidence
    own = c.rank_own * e.own + c.rank_first * e.first
    others = c.rank_proposed * e.proposed + c.rank_measured * e.measured
    return np.asarray(own + others + c.rank_free * e.free + c.rank_pixels * e.pixels)


def fused_scores(evidence: SceneEvidence, config: ViewFusionConfig) -> FloatArray:
    """(H,) probabilities in [0, 1] that selected poses are right."""
    c, e = config, evidence
    sums = c.score_offset + c.score_own * e.own + c.score_views * e.views + c.score_free * e.free
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(sums, -30.0, 30.0))))
