"""Render-and-compare behind the refiner's interface: nearer to the truth, and never with a worse verification."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_refinement.coarse_to_fine import VERIFY
from binpose_refinement.config import RefinerConfig
from binpose_refinement.hypothesis_batch import HypothesisBatch
from binpose_refinement.observation import observe
from binpose_refinement.pose_optimizer import VerifiedOptimization, ranks
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.verification import tolerance_of

from .conftest import distance_m, guesses, perturbed


@pytest.fixture(scope="module")
def comparing(parts, refiner) -> IcpRefiner:
    return refiner.using("render_and_compare")


def starts(parts, pile, rng):
    return [
        guesses((name, perturbed(rng, parts[name], T, 8.0, 0.08), 0.9), index=index)
        for index, (name, T) in enumerate(zip(pile.ids, pile.T_cam_obj, strict=True))
    ]


def errors_m(parts, pile, found) -> np.ndarray:
    truth = [(pile.ids[i], pile.T_cam_obj[i]) for i in (pose.detection_index for pose in found)]
    return np.array([distance_m(parts[n], p.T_cam_obj, T) for p, (n, T) in zip(found, truth, strict=True)])


def test_render_and_compare_comes_nearer_than_icp(parts, pile, refiner, comparing) -> None:
    poses = starts(parts, pile, np.random.default_rng(0))
    icp, both = (r(pile.frame, pile.detections, poses) for r in (refiner, comparing))
    assert len(both) == len(icp) == len(pile.ids)
    assert np.median(errors_m(parts, pile, both)) < 0.6 * np.median(errors_m(parts, pile, icp))
    assert np.mean([pose.score for pose in both]) > np.mean([pose.score for pose in icp])


def test_the_score_is_that_of_the_final_pose(parts, pile, comparing) -> None:
    """Verified again where it came to rest, a pose has the evidence that was reported with it."""
    found = comparing(pile.frame, pile.detections, starts(parts, pile, np.random.default_rng(1)))
    place = {pose.detection_index: pose.T_cam_obj for pose in found}

    def still(observation, batch):
        return np.array([place[i] for i in batch.owner]), np.zeros((len(batch), 6, 6))

    standing = IcpRefiner(parts, comparing.config, optimizer=still)
    again = {p.detection_index: p for p in standing(pile.frame, pile.detections, found)}
    for pose in found:
        other = again[pose.detection_index]
        if np.allclose(other.T_cam_obj, pose.T_cam_obj):
            assert other.residuals["explained"] == pytest.approx(pose.residuals["explained"], abs=1e-6)


def test_a_move_that_verifies_worse_is_not_kept(parts, pile, refiner) -> None:
    observation = observe(pile.frame, pile.detections, 2e-4)
    names = list(parts)
    part = np.array([names.index(name) for name in pile.ids], np.int64)
    batch = HypothesisBatch(np.arange(len(part)), part, pile.T_cam_obj, np.ones(len(part)))
    away = pile.T_cam_obj.copy()
    away[::2, 0, 3] += 0.004

    def optimizer(observation, batch):
        return away, np.ones((len(batch), 6, 6))

    config = refiner.config
    improve = VerifiedOptimization(refiner._part_renderer, optimizer, 2, VERIFY, config.verify_px)
    tolerance = tolerance_of(observation, config.tolerance_m, config.tolerance_sigmas)
    moved, information = improve(observation, batch, np.zeros((len(part), 6, 6)), tolerance)
    np.testing.assert_array_equal(moved.T_cam_obj, pile.T_cam_obj)
    assert (information[::2] == 0).all() and (information[1::2] == 1).all()


def test_only_the_first_of_each_detection_are_moved() -> None:
    assert ranks(np.array([3, 3, 0, 3, 0, 1])).tolist() == [0, 1, 0, 2, 1, 0]
    assert len(ranks(np.zeros(0, np.int64))) == 0


def test_methods_are_checked(parts, refiner) -> None:
    with pytest.raises(BinposeError, match="method is 'magic'; expected one of icp"):
        RefinerConfig(method="magic")
    with pytest.raises(BinposeError, match="has no refinement network"):
        refiner.using("network")
    assert refiner.using("icp").optimizer is None
    assert replace(refiner.config, method="render_and_compare").method == "render_and_compare"
