"""Laws of poses modulo symmetry and of their means."""

import numpy as np
import pytest

from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_pipeline.scene.alike_poses import AlikePoses, in_camera, moved_covariance


def random_pose(rng) -> np.ndarray:
    return from_rotation_translation(exp_so3(rng.normal(size=3)), rng.normal(size=3))


def random_covariance(rng) -> np.ndarray:
    root = rng.normal(size=(6, 6)) * np.array([1e-3] * 3 + [1e-2] * 3)[:, None]
    return root @ root.T + 1e-9 * np.eye(6)


@pytest.fixture
def alike(objects) -> AlikePoses:
    return AlikePoses({model.id: model for model in objects})


def test_a_symmetric_turn_is_no_difference(alike: AlikePoses, rng) -> None:
    for name, part in alike.objects.items():
        T = random_pose(rng)
        for motion in part.symmetries.transforms(0.31):
            assert alike.distance_m(name, T @ motion, T) < 1e-4 * part.diameter_m
            assert np.linalg.norm(alike.difference(name, T @ motion, T)) < 1e-3


def test_the_mean_of_equal_poses_is_that_pose(alike: AlikePoses, rng) -> None:
    for name, part in alike.objects.items():
        T, motions = random_pose(rng), part.symmetries.transforms(0.5)
        poses = [T @ motions[k % len(motions)] for k in range(3)]
        mean = alike.mean(name, poses, [random_covariance(rng) for _ in range(3)])
        assert alike.distance_m(name, mean.T, T) < 1e-4 * part.diameter_m


def test_the_covariance_of_a_mean_is_never_larger(alike: AlikePoses, rng) -> None:
    name = next(iter(alike.objects))
    for _ in range(10):
        covariances = [random_covariance(rng) for _ in range(3)]
        mean = alike.mean(name, [random_pose(rng)] * 3, covariances)
        for own in covariances:
            assert np.linalg.eigvalsh(own - mean.covariance).min() > -1e-10


def test_the_better_known_pose_weighs_more(alike: AlikePoses) -> None:
    name, near = next(iter(alike.objects)), np.eye(4)
    far = from_rotation_translation(np.eye(3), np.array([1e-3, 0, 0]))
    mean = alike.mean(name, [near, far], [np.eye(6) * 1e-8, np.eye(6) * 9e-8])
    assert mean.T[0, 3] == pytest.approx(1e-4, rel=1e-6)


def test_a_motion_moves_mean_and_covariance_along(alike: AlikePoses, rng) -> None:
    name, motion = next(iter(alike.objects)), random_pose(rng)
    T = random_pose(rng)
    poses = [T @ from_rotation_translation(exp_so3(rng.normal(0, 0.01, 3)), rng.normal(0, 1e-3, 3)) for _ in range(3)]
    covariances = [random_covariance(rng) for _ in range(3)]
    here = alike.mean(name, poses, covariances)
    there = alike.mean(name, [motion @ pose for pose in poses], [moved_covariance(c, motion) for c in covariances])
    np.testing.assert_allclose(there.T, motion @ here.T, atol=1e-8)
    np.testing.assert_allclose(there.covariance, moved_covariance(here.covariance, motion), atol=1e-10)


def test_into_a_camera_and_back(rng) -> None:
    T_world_cam, T_world_obj = random_pose(rng), random_pose(rng)
    np.testing.assert_allclose(T_world_cam @ in_camera(T_world_cam, T_world_obj), T_world_obj, atol=1e-12)
