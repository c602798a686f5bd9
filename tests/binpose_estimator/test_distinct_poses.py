import numpy as np

from binpose_core.geometry.transforms import exp_so3
from binpose_estimator.distinct_poses import distinct_poses


def test_the_best_of_each_cluster_by_descending_score(rng: np.random.Generator) -> None:
    """Clusters 60 degrees or a third of the diameter apart, with members a few degrees off."""
    turns, places = np.radians([0, 60, 0]), np.array([[0, 0, 0], [0, 0, 0], [0.33, 0, 0]])
    cluster = rng.integers(3, size=40)
    rotation = exp_so3(np.c_[turns[cluster], rng.normal(0, 0.04, (40, 2))])[None]
    center = (places[cluster] + rng.normal(0, 0.01, (40, 3)))[None]
    score = rng.uniform(0.1, 1, (1, 40))
    R, c, s = distinct_poses(rotation, center, score, 5)
    best = sorted((int(np.flatnonzero(cluster == k)[score[0, cluster == k].argmax()]) for k in range(3)),
                  key=lambda i: -score[0, i])  # fmt: skip
    np.testing.assert_array_equal(s[0], [*score[0, best], 0, 0])
    np.testing.assert_array_equal(R[0, :3], rotation[0, best])
    np.testing.assert_array_equal(c[0, :3], center[0, best])


def test_nothing_is_taken_from_crops_without_a_score() -> None:
    R, c, s = distinct_poses(np.tile(np.eye(3), (2, 4, 1, 1)), np.zeros((2, 4, 3)), np.zeros((2, 4)), 3)
    assert R.shape == (2, 3, 3, 3) and c.shape == (2, 3, 3) and not s.any()
    assert distinct_poses(np.zeros((0, 4, 3, 3)), np.zeros((0, 4, 3)), np.zeros((0, 4)), 3)[2].shape == (0, 3)
