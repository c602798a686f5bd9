import numpy as np

from binpose_core.geometry.transforms import random_rotation
from binpose_estimator.anchors import icosahedral_rotations


def angles_rad(rotations: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(A, B) angles between all pairs."""
    trace = np.einsum("aij,bij->ab", rotations, others)
    return np.arccos(np.clip((trace - 1) / 2, -1, 1))


def numbers_of(rotations: np.ndarray) -> np.ndarray:
    """Which element each rotation is; every one must be exactly one."""
    same = angles_rad(rotations.reshape(-1, 3, 3), icosahedral_rotations()) < 1e-4
    assert (same.sum(1) == 1).all()
    return same.argmax(1)


def test_the_anchors_are_the_icosahedral_group() -> None:
    """Sixty rotations, closed under product and inverse, with the orders of the group A5."""
    group = icosahedral_rotations()
    assert group.shape == (60, 3, 3)
    np.testing.assert_allclose(group[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(group @ group.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (60, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(group), 1)
    products = numbers_of(group[:, None] @ group[None]).reshape(60, 60)
    for row in (*products, *products.T):
        assert sorted(row) == list(range(60)), "each row and column of the group's table has every element once"
    assert sorted(numbers_of(group.transpose(0, 2, 1))) == list(range(60))
    angles = np.rad2deg(angles_rad(group, np.eye(3)[None])[:, 0]).round()
    assert dict(zip(*np.unique(angles, return_counts=True), strict=True)) == {0: 1, 72: 12, 120: 20, 144: 12, 180: 15}


def test_no_rotation_is_far_from_all_anchors(rng: np.random.Generator) -> None:
    nearest = np.rad2deg(angles_rad(random_rotation(rng, (5000,)), icosahedral_rotations()).min(1))
    assert 40 < nearest.max() < 44.5
