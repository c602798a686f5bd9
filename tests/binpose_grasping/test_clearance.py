import numpy as np

from binpose_core.geometry.transforms import from_rotation_translation, inverse, random_rotation, transform
from binpose_grasping.clearance import clearance_m


def test_it_is_the_distance_of_the_nearest_point_to_the_nearest_box(rng: np.random.Generator) -> None:
    T = from_rotation_translation(random_rotation(rng, (20,)), rng.uniform(-0.05, 0.05, (20, 3)))
    low = rng.uniform(-0.05, 0.0, (20, 3, 3))
    high = low + 0.02
    points = rng.uniform(-0.1, 0.1, (40, 3))
    in_hand = transform(T, points)[:, None]
    gap = np.maximum(np.maximum(low[:, :, None] - in_hand, in_hand - high[:, :, None]), 0)
    expected = np.minimum(np.linalg.norm(gap, axis=-1).min(axis=(1, 2)), 0.02)
    found = clearance_m(T, low, high, points, 0.02)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert 0 < (found < 0.02).sum() < 20
    motion = from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    moved = clearance_m(T @ inverse(motion), low, high, transform(motion, points), 0.02)
    np.testing.assert_allclose(moved, found, atol=1e-9)


def test_without_points_everything_is_clear_and_more_points_never_help(rng: np.random.Generator) -> None:
    low, high = np.full((1, 1, 3), -0.01), np.full((1, 1, 3), 0.01)
    points = rng.uniform(-0.05, 0.05, (30, 3))
    assert clearance_m(np.eye(4)[None], low, high, points[:0], 0.03)[0] == 0.03
    some, all_ = (clearance_m(np.eye(4)[None], low, high, points[:n], 0.03)[0] for n in (10, 30))
    assert all_ <= some
