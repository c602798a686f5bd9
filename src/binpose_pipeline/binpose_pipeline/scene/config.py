"""All settings of the fusion of views."""

from dataclasses import dataclass

from binpose_core.base.settings import FRACTION, check_bounds, setting

WEIGHT = (0.0, 20.0)


@dataclass(frozen=True)
class ViewFusionConfig:
    """How hypotheses of several views are joined, measured and selected.

    The weights were fitted on 40 simulated piles of the library's parts, three views each, with seeds of their own:
    `benchmarks/view_fusion_weights.py`.

    start_score: least score of a single view's pose that takes part.
    start_hypothesis: least score of a detection's other hypotheses that take part.
    hypotheses: how many other hypotheses of a detection take part.
    same_pose: poses of two views are of one part when their surfaces are on average closer than this fraction of the
        diameter.
    gate_m: how far the depth may be from a predicted surface that is still looked at, in metres.
    overlap: IoU from which a detection of a view and a predicted part count as the same.
    fewest_px: predicted pixels with agreeing depth from which a view without a detection is measured.
    least_visible: fraction of a part's silhouette that is neither occluded nor outside the image, below which a view
        says nothing about it.
    fully_visible: fraction from which the view counts in full.
    cap: largest log-odds for or against a pose.
    cap_view: the same for what one view says about another view's pose.
    rank_own, rank_first, rank_proposed, rank_measured, rank_free, rank_pixels: weights of the evidence by which
        hypotheses of one place are ranked, see `scene_evidence.SceneEvidence`.
    score_offset, score_own, score_views, score_free: weights of the evidence in the log-odds of the score.
    claimed: a pose is a duplicate when better ones explain more than this fraction of its pixels in all views.
    intrusion: a pose is a duplicate when more than this fraction of its surface lies inside a better one.
    """

    start_score: float = setting(0.02, bounds=FRACTION)
    start_hypothesis: float = setting(0.05, bounds=FRACTION)
    hypotheses: int = setting(2, bounds=(0, 100))
    same_pose: float = setting(0.06, bounds=(1e-3, 1.0))
    gate_m: float = setting(0.005, bounds=(1e-4, 0.1))
    overlap: float = setting(0.4, bounds=FRACTION)
    fewest_px: int = setting(24, bounds=(1, 10**6))
    least_visible: float = setting(0.1, bounds=FRACTION)
    fully_visible: float = setting(0.4, bounds=(1e-3, 1.0))
    cap: float = setting(6.0, bounds=(0.1, 30.0))
    cap_view: float = setting(4.0, bounds=(0.1, 30.0))
    rank_own: float = setting(0.47, bounds=WEIGHT)
    rank_first: float = setting(0.0, bounds=WEIGHT)
    rank_proposed: float = setting(0.07, bounds=WEIGHT)
    rank_measured: float = setting(0.33, bounds=WEIGHT)
    rank_free: float = setting(0.0, bounds=WEIGHT)
    rank_pixels: float = setting(1.09, bounds=WEIGHT)
    score_offset: float = setting(-0.33, bounds=(-20.0, 20.0))
    score_own: float = setting(1.08, bounds=WEIGHT)
    score_views: float = setting(0.32, bounds=WEIGHT)
    score_free: float = setting(1.22, bounds=WEIGHT)
    claimed: float = setting(0.6, bounds=FRACTION)
    intrusion: float = setting(0.2, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)
