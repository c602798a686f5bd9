import numpy as np
import pytest

from binpose_core.geometry.transforms import random_rotation, rotation_angle_rad
from binpose_estimator.correspondences import DISTINCT_COSINE, MIN_POINTS, poses_from_coordinates

BATCH, POINTS = 6, 200


def problem(rng: np.random.Generator, outliers: float, noise: float = 0.0):
    """Object coordinates, the points they were moved to, and the true motions; a share of the coordinates is wrong."""
    predicted = rng.uniform(-0.5, 0.5, (BATCH, POINTS, 3))
    rotation, center = random_rotation(rng, (BATCH,)), rng.normal(0, 0.1, (BATCH, 3))
    observed = predicted @ rotation.transpose(0, 2, 1) + center[:, None] + rng.normal(0, noise, predicted.shape)
    wrong = rng.random((BATCH, POINTS)) < outliers
    predicted[wrong] = rng.uniform(-0.5, 0.5, (int(wrong.sum()), 3))
    return observed, predicted, np.ones((BATCH, POINTS), bool), rotation, center, wrong


@pytest.mark.parametrize("outliers", [0.0, 0.3, 0.5])
def test_recovers_the_motion_in_spite_of_outliers(rng: np.random.Generator, outliers: float) -> None:
    observed, predicted, valid, rotation, center, wrong = problem(rng, outliers)
    found_rotation, found_center, share = poses_from_coordinates(observed, predicted, valid)
    assert rotation_angle_rad(found_rotation[:, 0], rotation).max() < 0.01
    np.testing.assert_allclose(found_center[:, 0], center, atol=0.005)
    np.testing.assert_allclose(share[:, 0], 1 - wrong.mean(1), atol=0.03)


def test_noise_is_averaged_by_the_inliers(rng: np.random.Generator) -> None:
    observed, predicted, valid, rotation, center, _ = problem(rng, 0.3, noise=0.015)
    found_rotation, found_center, _ = poses_from_coordinates(observed, predicted, valid)
    assert rotation_angle_rad(found_rotation[:, 0], rotation).max() < 0.02
    np.testing.assert_allclose(found_center[:, 0], center, atol=0.01)


def test_results_are_rotations_and_repeat_themselves(rng: np.random.Generator) -> None:
    observed, predicted, valid, *_ = problem(rng, 0.5, noise=0.01)
    first = poses_from_coordinates(observed, predicted, valid, seed=7)
    for one, other in zip(first, poses_from_coordinates(observed, predicted, valid, seed=7), strict=True):
        np.testing.assert_array_equal(one, other)
    rotation, _, share = first
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-9)
    assert ((share >= 0) & (share <= 1)).all()


def test_two_motions_are_both_found(rng: np.random.Generator) -> None:
    """Where the coordinates cannot tell two orientations apart, each has its half of the points."""
    observed, predicted, valid, rotation, center, _ = problem(rng, 0.0)
    other = random_rotation(rng, (BATCH,))
    half = POINTS * 2 // 5
    observed[:, :half] = predicted[:, :half] @ other.transpose(0, 2, 1) + center[:, None]
    found, _, share = poses_from_coordinates(observed, predicted, valid)
    assert rotation_angle_rad(found[:, 0], rotation).max() < 0.02
    assert rotation_angle_rad(found[:, 1], other).max() < 0.02
    assert (share[:, 0] >= share[:, 1]).all() and share[:, 1].min() > 0.35


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_the_second_pose_differs_from_the_first(noise: float) -> None:
    for seed in range(8):
        observed, predicted, valid, *_ = problem(np.random.default_rng(seed), 0.4, noise)
        rotation, _, share = poses_from_coordinates(observed, predicted, valid)
        angle = rotation_angle_rad(rotation[:, 0], rotation[:, 1])
        assert (angle[share[:, 1] > 0] > np.arccos(DISTINCT_COSINE) - 1e-6).all()


def test_points_that_do_not_count_do_not_matter(rng: np.random.Generator) -> None:
    observed, predicted, valid, rotation, _, _ = problem(rng, 0.0)
    valid[:, ::2] = False
    observed[:, ::2] = 1e3
    found, _, share = poses_from_coordinates(observed, predicted, valid)
    assert rotation_angle_rad(found[:, 0], rotation).max() < 1e-3 and share[:, 0].min() == 1


def test_too_few_points_give_no_pose(rng: np.random.Generator) -> None:
    observed, predicted, valid, *_ = problem(rng, 0.0)
    valid[:, MIN_POINTS - 1 :] = False
    rotation, center, share = poses_from_coordinates(observed, predicted, valid)
    assert not share.any() and not center.any()
    np.testing.assert_array_equal(rotation, np.broadcast_to(np.eye(3), rotation.shape))


@pytest.mark.parametrize("flat", ["point", "line"])
def test_degenerate_coordinates_are_survived(rng: np.random.Generator, flat: str) -> None:
    observed, predicted, valid, *_ = problem(rng, 0.0)
    predicted[..., 1 if flat == "line" else 0 :] = 0
    for result in poses_from_coordinates(observed, predicted, valid):
        assert np.isfinite(result).all()


def test_nothing_in_nothing_out() -> None:
    none = np.zeros((0, 10, 3))
    rotation, center, share = poses_from_coordinates(none, none, np.zeros((0, 10), bool))
    assert rotation.shape == (0, 2, 3, 3) and center.shape == (0, 2, 3) and share.shape == (0, 2)
