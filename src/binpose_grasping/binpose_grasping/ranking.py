"""The estimated probability that a pick succeeds, as a product of factors that are assumed to be independent.

    score = hold * clear * lift * quality * reach

hold: sum over the hypotheses of the pose of their probability times the fraction of their sampled poses at which the
    grasp holds. What holds for all poses that the image cannot tell apart comes first.
clear: probability that the error between camera and hand is smaller than the clearance to all obstacles; lower where
    the camera does not see whether the place of the fingers is free.
lift: fraction of the part that nothing lies on.
quality, reach: between 1 - weight and 1, by the relative quality of the grasp and the margin to joint limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.grasps import PARALLEL
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.candidates import GraspCandidates
from binpose_grasping.clearance import clearance_m
from binpose_grasping.config import PlannerConfig, RankingConfig
from binpose_grasping.holding import holds
from binpose_grasping.pose_samples import SampledHypothesis, position_sigma_m
from binpose_grasping.refusals import Refusal
from binpose_grasping.surroundings import Surroundings

POINTS = 1500
"""Number of surface points on which a grasp is evaluated."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of the score of N grasps of one pose, each (N,); without those of the arm."""

    hold: FloatArray
    clear: FloatArray
    lift: FloatArray
    quality: FloatArray

    @property
    def score(self) -> FloatArray:
        """(N,) their product."""
        return self.hold * self.clear * self.lift * self.quality

    def of(self, number: int) -> dict[str, float]:
        """The factors of one grasp by name."""
        return {name: float(values[number]) for name, values in vars(self).items()}


@dataclass(frozen=True, eq=False)
class RankedCandidates:
    """The candidates of one pose with the factors of their scores."""

    found: GraspCandidates
    factors: Factors


def ranked(
    found: GraspCandidates,
    pose: PoseEstimate,
    hypotheses: Sequence[SampledHypothesis],
    objects: Mapping[str, ObjectModel],
    around: Surroundings,
    place: int,
    config: PlannerConfig,
) -> RankedCandidates:
    """The candidates that hold with some probability, with the factors of their scores.

    Args:
        found: N free grasps of one pose.
        pose: the estimate.
        hypotheses: the poses that the part may have.
        objects: the parts by id.
        around: what stands around it.
        place: of the pose among those of the surroundings.
        config: of the planner.
    """
    if not len(found):
        none = np.zeros(0)
        return RankedCandidates(found, Factors(none, none, none, none))
    ranking = config.ranking
    hold = hold_probability(found, hypotheses, objects, config)
    kept = hold >= ranking.least_hold * hypotheses[0].probability
    found, hold = found.keep(kept, Refusal.SLIPS), hold[kept]
    sigma_m = position_sigma_m(pose, objects[pose.object_id], ranking)
    boxes = around.boxes_of(found, swept=False)
    distance_m = clearance_m(inverse(found.T_cam_hand), *boxes, around.nearby(place), ranking.clear_m)
    clear = np.where(distance_m >= ranking.clear_m, 1.0, ndtr(distance_m / max(sigma_m, 1e-9)))
    clear = clear * (1 - ranking.unseen_weight * around.unseen(found))
    quality = 1 - ranking.quality_weight * (1 - found.relative)
    return RankedCandidates(found, Factors(hold, clear, np.full(len(found), 1 - around.covered(place)), quality))


def hold_probability(
    found: GraspCandidates,
    hypotheses: Sequence[SampledHypothesis],
    objects: Mapping[str, ObjectModel],
    config: PlannerConfig,
) -> FloatArray:
    """(N,) probability that each grasp holds; suction cups have their stored success at the best hypothesis."""
    total = np.zeros(len(found))
    parallel = found.tool == PARALLEL
    T_hand_cam = inverse(found.T_cam_hand[parallel])
    for hypothesis in hypotheses:
        part = objects[hypothesis.object_id]
        held = holds(
            T_hand_cam[:, None] @ hypothesis.T_cam_obj[None],
            found.width_m[parallel],
            part.points[:POINTS],
            part.normals[:POINTS],
            config.gripper,
            config.search.contact.cone_rad,
        )
        total[parallel] += hypothesis.probability * held.mean(axis=1)
    total[~parallel] = hypotheses[0].probability * found.success[~parallel]
    return total


def reach_factor(margin: float, config: RankingConfig) -> float:
    """Between 1 - reach_weight at a joint limit and 1 from `easy_reach` on."""
    fraction = min(1.0, margin / config.easy_reach) if config.easy_reach > 0 else 1.0
    return 1 - config.reach_weight * (1 - fraction)
