"""Laws of rigid motions: closure, inverse, associativity, round trips between representations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from binpose_core.geometry import transforms as geometry

seeds = st.integers(0, 2**32 - 1)


def random_poses(rng: np.random.Generator, *shape: int) -> geometry.FloatArray:
    return geometry.from_rotation_translation(geometry.random_rotation(rng, shape), rng.normal(size=(*shape, 3)))


def assert_rotation(rotation: geometry.FloatArray) -> None:
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    np.testing.assert_allclose(rotation @ np.swapaxes(rotation, -1, -2), identity, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-12)


@given(seeds)
def test_inverse_undoes_a_pose(seed: int) -> None:
    T_a_b = random_poses(np.random.default_rng(seed), 4)
    np.testing.assert_allclose(geometry.inverse(T_a_b) @ T_a_b, np.broadcast_to(np.eye(4), T_a_b.shape), atol=1e-12)
    np.testing.assert_allclose(geometry.inverse(geometry.inverse(T_a_b)), T_a_b, atol=1e-12)


@given(seeds)
def test_products_of_poses_act_one_after_the_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T_a_b, T_b_c, points_c = random_poses(rng), random_poses(rng), rng.normal(size=(7, 3))
    one_by_one = geometry.transform(T_a_b, geometry.transform(T_b_c, points_c))
    np.testing.assert_allclose(geometry.transform(T_a_b @ T_b_c, points_c), one_by_one, atol=1e-12)


@given(seeds)
def test_a_batch_is_its_members(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T_a_b, points_b = random_poses(rng, 2, 3), rng.normal(size=(2, 3, 5, 3))
    moved = geometry.transform(T_a_b, points_b)
    assert moved.shape == (2, 3, 5, 3)
    np.testing.assert_allclose(moved[1, 2], geometry.transform(T_a_b[1, 2], points_b[1, 2]), atol=1e-12)


def test_a_pose_keeps_distances(rng: np.random.Generator) -> None:
    points = rng.normal(size=(20, 3))
    moved = geometry.transform(random_poses(rng), points)
    np.testing.assert_allclose(np.diff(moved, axis=0) ** 2 @ np.ones(3), np.diff(points, axis=0) ** 2 @ np.ones(3))


@given(seeds)
def test_skew_is_the_cross_product(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 6, 3))
    np.testing.assert_allclose((geometry.skew(a) @ b[..., None])[..., 0], np.cross(a, b), atol=1e-12)


@given(seeds, st.floats(0, np.pi - 1e-6))
def test_log_undoes_exp(seed: int, angle_rad: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    vector = axis / np.linalg.norm(axis) * angle_rad
    np.testing.assert_allclose(geometry.log_so3(geometry.exp_so3(vector)), vector, atol=1e-8)


@pytest.mark.parametrize("angle_rad", [0.0, 1e-12, 1e-9, 1e-7, 1e-4, np.pi - 1e-9, np.pi])
@pytest.mark.parametrize("axis", [*np.eye(3), np.array([0.6, 0.0, -0.8]), np.array([-0.48, 0.6, 0.64])])
def test_exp_undoes_log_also_at_no_turn_and_half_a_turn(axis: geometry.FloatArray, angle_rad: float) -> None:
    rotation = geometry.exp_so3(axis * angle_rad)
    assert_rotation(rotation)
    assert np.linalg.norm(geometry.log_so3(rotation)) == pytest.approx(angle_rad, abs=1e-8)
    np.testing.assert_allclose(geometry.exp_so3(geometry.log_so3(rotation)), rotation, atol=1e-8)


@given(seeds)
def test_rotations_agree_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, quats = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    np.testing.assert_allclose(geometry.exp_so3(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(
        geometry.rotation_from_quat_xyzw(quats), Rotation.from_quat(quats).as_matrix(), atol=1e-12
    )


@given(seeds)
def test_quaternions_go_round(seed: int) -> None:
    rotation = geometry.random_rotation(np.random.default_rng(seed), (6,))
    quat = geometry.quat_xyzw_from_rotation(rotation)
    np.testing.assert_allclose(np.linalg.norm(quat, axis=-1), 1.0)
    np.testing.assert_allclose(geometry.rotation_from_quat_xyzw(quat), rotation, atol=1e-12)


@pytest.mark.parametrize("axis", np.eye(3))
def test_quaternions_go_round_at_half_a_turn(axis: geometry.FloatArray) -> None:
    rotation = geometry.exp_so3(np.pi * axis)
    quat = geometry.quat_xyzw_from_rotation(rotation)
    np.testing.assert_allclose(geometry.rotation_from_quat_xyzw(quat), rotation, atol=1e-12)


def test_the_length_of_a_quaternion_does_not_matter(rng: np.random.Generator) -> None:
    quat = rng.normal(size=(3, 4))
    np.testing.assert_allclose(
        geometry.rotation_from_quat_xyzw(-7.0 * quat), geometry.rotation_from_quat_xyzw(quat), atol=1e-12
    )


@given(seeds)
def test_the_angle_between_rotations_is_a_metric(seed: int) -> None:
    a, b, c = geometry.random_rotation(np.random.default_rng(seed), (3,))
    angle = geometry.rotation_angle_rad
    assert angle(a, a) == pytest.approx(0.0, abs=1e-7)
    assert angle(a, b) == pytest.approx(angle(b, a))
    assert angle(a, c) <= angle(a, b) + angle(b, c) + 1e-9
    assert angle(c @ a, c @ b) == pytest.approx(angle(a, b))


@given(seeds)
def test_a_small_turn_about_any_axis_is_measured_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    axis, rotation = rng.normal(size=3), geometry.random_rotation(rng)
    turned = rotation @ geometry.exp_so3(1e-6 * axis / np.linalg.norm(axis))
    assert geometry.rotation_angle_rad(rotation, turned) == pytest.approx(1e-6, rel=1e-4)


def test_a_twist_turns_first_and_then_moves() -> None:
    T = geometry.exp_se3(np.array([1.0, 2.0, 3.0, 0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(geometry.transform(T, np.array([[1.0, 0.0, 0.0]])), [[1.0, 3.0, 3.0]], atol=1e-12)


@given(seeds)
@settings(max_examples=30)
def test_rotation_between_is_the_smallest_that_aligns(seed: int) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 3))
    rotation = geometry.rotation_between(a, b)
    assert_rotation(rotation)
    unit_a, unit_b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    np.testing.assert_allclose(rotation @ unit_a, unit_b, atol=1e-9)
    angle_rad = np.arccos(np.clip(unit_a @ unit_b, -1, 1))
    assert geometry.rotation_angle_rad(np.eye(3), rotation) == pytest.approx(angle_rad, abs=1e-7)


@pytest.mark.parametrize("axis", [*np.eye(3), np.array([1.0, -2.0, 0.5])])
def test_rotation_between_equal_and_opposite_directions(axis: geometry.FloatArray) -> None:
    np.testing.assert_allclose(geometry.rotation_between(axis, 2 * axis), np.eye(3), atol=1e-9)
    opposite = geometry.rotation_between(axis, -axis)
    assert_rotation(opposite)
    np.testing.assert_allclose(opposite @ axis, -axis, atol=1e-9)


def test_random_rotations_are_uniform(rng: np.random.Generator) -> None:
    rotation = geometry.random_rotation(rng, (20000,))
    # Uniform over SO(3): each entry has mean 0 and variance 1/3; the angle has mean pi/2 + 2/pi.
    np.testing.assert_allclose(rotation.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(rotation.var(axis=0), 1 / 3, atol=0.02)
    assert geometry.rotation_angle_rad(np.eye(3), rotation).mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.02)
