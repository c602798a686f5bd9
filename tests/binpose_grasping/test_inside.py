import numpy as np

from binpose_core.geometry.transforms import from_rotation_translation, random_rotation, transform
from binpose_grasping.inside import count_inside


def count_reference(T: np.ndarray, low: np.ndarray, high: np.ndarray, points: np.ndarray, most: int) -> np.ndarray:
    moved = transform(T, points)[:, :, None]
    inside = ((moved >= low[:, None]) & (moved <= high[:, None])).all(-1).any(-1)
    return np.minimum(inside.sum(1), most)


def test_the_kernel_counts_as_its_readable_twin(rng: np.random.Generator) -> None:
    T = from_rotation_translation(random_rotation(rng, (40,)), rng.normal(0, 0.2, (40, 3)))
    corners = rng.uniform(-0.3, 0.3, (40, 3, 2, 3)) * rng.uniform(0, 1, (40, 1, 1, 1))
    low, high = corners.min(2), corners.max(2)
    points = rng.uniform(-1, 1, (500, 3))
    for most in (1, 7, 10**6):
        expected = count_reference(T, low, high, points, most)
        assert len(set(expected.tolist())) > 1
        np.testing.assert_array_equal(count_inside(T, low, high, points, most), expected)


def test_a_point_in_two_boxes_counts_once_and_no_points_none() -> None:
    low, high = np.full((1, 2, 3), -1.0), np.full((1, 2, 3), 1.0)
    assert count_inside(np.eye(4)[None], low, high, np.zeros((1, 3)), 5).tolist() == [1]
    assert count_inside(np.eye(4)[None], low, high, np.zeros((0, 3))).tolist() == [0]
