import numpy as np
import pytest

from binpose_estimator.center_voting import vote_centers

SEEN = np.ones(4, bool)


def lines(rng: np.random.Generator, noise: float, outliers: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (4, 3), and points (4, 60, 3) with directions of which some aim at nothing."""
    center = rng.normal(0, 0.1, (4, 3))
    points = center[:, None] + rng.normal(0, 0.3, (4, 60, 3))
    directions = center[:, None] - points
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    directions += rng.normal(0, noise, directions.shape)
    wrong = rng.permuted(np.arange(60) < outliers * 60 * np.ones((4, 1)), axis=1)
    directions[wrong] = rng.normal(size=(wrong.sum(), 3))
    return center, points, directions / np.linalg.norm(directions, axis=-1, keepdims=True)


@pytest.mark.parametrize(("noise", "outliers", "error"), [(0.0, 0.5, 5e-3), (0.02, 0.5, 0.02), (0.02, 0.0, 0.01)])
def test_finds_the_centre_among_outliers(noise: float, outliers: float, error: float, rng) -> None:
    center, points, directions = lines(rng, noise, outliers)
    voted, fraction = vote_centers(points, directions, SEEN)
    errors = np.linalg.norm(voted - center, axis=1)
    assert errors.max() < error and (noise or np.median(errors) < 1e-6), "an outlier may aim there by chance"
    assert (np.abs(fraction - (1 - outliers)) < 0.1).all()
    np.testing.assert_array_equal(vote_centers(points, directions, SEEN)[0], voted)


def test_lines_that_do_not_meet_vote_for_nothing(rng) -> None:
    points, parallel = rng.normal(size=(4, 20, 3)), np.tile([0, 0, 1.0], (4, 20, 1))
    assert not vote_centers(points, parallel, SEEN)[1].any()
    _, aiming_points, directions = lines(rng, 0.0, 0.0)
    assert vote_centers(aiming_points, directions, np.arange(4) > 0)[1].tolist() == [0, 1, 1, 1]
    assert vote_centers(np.zeros((0, 5, 3)), np.zeros((0, 5, 3)), np.zeros(0, bool))[0].shape == (0, 3)
