"""Sampled poses of a part: its hypotheses, weighted by probability, each spread by its covariance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from binpose_core.frames.types import Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, exp_so3, skew
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import RankingConfig

SEED = 0
OTHERS = 4
"""Hypotheses other than the best one get the number of samples divided by this."""


@dataclass(frozen=True, eq=False)
class SampledHypothesis:
    """One pose that the part may have.

    object_id: which part it is then.
    probability: of this hypothesis.
    T_cam_obj: (S, 4, 4) samples; the first one is the hypothesis itself.
    """

    object_id: str
    probability: float
    T_cam_obj: FloatArray


def sampled_hypotheses(
    pose: PoseEstimate, further: Sequence[Hypothesis], objects: Mapping[str, ObjectModel], config: RankingConfig
) -> list[SampledHypothesis]:
    """The poses that the image cannot tell apart, most probable first; the same pose always gives the same ones.

    Args:
        pose: with its hypotheses, whose scores are probabilities.
        further: hypotheses from other estimates of the same part.
        objects: the parts by id; hypotheses of others are left out.
        config: number of samples, and errors where there is no covariance.

    Returns:
        hypotheses whose probabilities sum up to at most 1.
    """
    own = Hypothesis(pose.object_id, pose.T_cam_obj, pose.score)
    others = [h for h in (*pose.hypotheses, *further) if h.object_id in objects and not _same(h, own)]
    others = sorted((h for h in others if np.isfinite(h.T_cam_obj).all() and h.score > 0), key=lambda h: -h.score)
    chosen = [own, *others[: config.hypotheses - 1]]
    total = max(1.0, sum(h.score for h in chosen))
    sampled = []
    for number, h in enumerate(chosen):
        count = config.samples if number == 0 else max(1, config.samples // OTHERS)
        samples = _spread(h, objects[h.object_id], pose.covariance, config, count)
        sampled.append(SampledHypothesis(h.object_id, h.score / total, samples))
    return sampled


def position_sigma_m(pose: PoseEstimate, part: ObjectModel, config: RankingConfig) -> float:
    """Standard deviation of the part's centre relative to the hand, along one axis on average."""
    if pose.covariance is None:
        return float(np.hypot(config.position_m, config.cell_error_m))
    to_center = _to_center(pose.T_cam_obj, part)
    about_center = to_center @ pose.covariance @ to_center.T
    return float(np.sqrt(np.trace(about_center[:3, :3]) / 3 + config.cell_error_m**2))


def _spread(
    h: Hypothesis, part: ObjectModel, covariance: FloatArray | None, config: RankingConfig, count: int
) -> FloatArray:
    """Poses (count, 4, 4): rotations and translations of the part's centre, which large rotations do not move."""
    draws = _draws(count)
    if covariance is None:
        twist = draws[:, :6] * np.repeat([config.position_m, config.angle_rad], 3)
    else:
        to_center = _to_center(h.T_cam_obj, part)
        values, vectors = np.linalg.eigh(to_center @ covariance @ to_center.T)
        twist = draws[:, :6] @ (vectors * np.sqrt(np.maximum(values, 0))).T
    moved = twist[:, :3] + config.cell_error_m * draws[:, 6:]
    rotation = exp_so3(twist[:, 3:]) @ h.T_cam_obj[:3, :3]
    T = np.tile(np.eye(4), (count, 1, 1))
    T[:, :3, :3] = rotation
    T[:, :3, 3] = part.center_in(h.T_cam_obj) + moved - rotation @ part.center_m
    return T


def _to_center(T_cam_obj: FloatArray, part: ObjectModel) -> FloatArray:
    """(6, 6) from twists about the object's origin to twists about the part's centre."""
    motion = np.eye(6)
    motion[:3, 3:] = -skew(T_cam_obj[:3, :3] @ part.center_m)
    return motion


def _same(a: Hypothesis, b: Hypothesis) -> bool:
    return a.object_id == b.object_id and np.array_equal(a.T_cam_obj, b.T_cam_obj)


@lru_cache(maxsize=64)
def _draws(count: int) -> FloatArray:
    """(count, 9) standard normal numbers, the same in every frame; the first row is zero."""
    draws = np.random.default_rng(SEED).normal(size=(count, 9))
    draws[0] = 0.0
    draws.setflags(write=False)
    return draws
