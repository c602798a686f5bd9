"""Errors of camera poses are found from the parts alone."""

import numpy as np
import pytest

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, inverse
from binpose_pipeline.scene.camera_residuals import camera_residuals

from .conftest import looking


@pytest.fixture
def known(objects) -> dict:
    return {model.id: model for model in objects}


def scene(known: dict, rng, parts: int = 8, noise_m: float = 2e-4):
    """True camera poses of three views, and the poses of the parts in them with small errors."""
    names = [list(known)[k % len(known)] for k in range(parts)]
    at = np.stack([rng.uniform(-0.12, 0.12, parts), rng.uniform(-0.1, 0.1, parts), rng.uniform(0, 0.05, parts)], 1)
    T_world_obj = from_rotation_translation(exp_so3(rng.normal(size=(parts, 3))), at)
    cameras = [looking(2.1 * k) for k in range(3)]
    poses = []
    for camera in cameras:
        own = []
        for name, T in zip(names, T_world_obj, strict=True):
            off = from_rotation_translation(exp_so3(rng.normal(0, 0.005, 3)), rng.normal(0, noise_m, 3))
            own.append(PoseEstimate(name, inverse(camera) @ T @ off, 0.9))
        poses.append(own)
    return cameras, poses


def at_origin(motion: np.ndarray) -> np.ndarray:
    return motion[:3, 3]


def test_right_cameras_have_next_to_no_error(known: dict, rng) -> None:
    found = camera_residuals(*scene(known, rng), known)
    assert found.shift_m.max() < 5e-4 and len(found.pairs) == 3
    assert all(pair.parts >= 5 and pair.after_m < 1e-3 for pair in found.pairs)


@pytest.mark.parametrize("camera", [0, 1, 2])
@pytest.mark.parametrize("size_mm", [2.0, 7.0, 18.0])
def test_a_shift_is_found_in_its_camera(known: dict, rng, camera: int, size_mm: float) -> None:
    cameras, poses = scene(known, rng)
    shift = size_mm * 1e-3 * np.array([0.48, -0.6, 0.64])
    off = [T.copy() for T in cameras]
    off[camera][:3, 3] += shift
    found = camera_residuals(off, poses, known)
    assert found.shift_m[camera] * 1e3 == pytest.approx(size_mm, abs=0.5)
    assert np.delete(found.shift_m, camera).max() < 6e-4
    np.testing.assert_allclose(at_origin(found.motions[camera] @ off[camera]), cameras[camera][:3, 3], atol=2e-3)


def test_a_few_wrong_poses_change_nothing(known: dict, rng) -> None:
    cameras, poses = scene(known, rng)
    wrong = from_rotation_translation(exp_so3(np.array([0.2, 0, 0])), np.array([0.012, -0.008, 0.01]))
    poses[1][0] = PoseEstimate(poses[1][0].object_id, poses[1][0].T_cam_obj @ wrong, 0.95)
    assert camera_residuals(cameras, poses, known).shift_m.max() < 7e-4


def test_the_order_of_views_does_not_matter(known: dict, rng) -> None:
    cameras, poses = scene(known, rng)
    cameras[2][:3, 3] += [0.004, 0, 0]
    one, other = camera_residuals(cameras, poses, known), camera_residuals(cameras[::-1], poses[::-1], known)
    np.testing.assert_allclose(one.motions, other.motions[::-1], atol=2e-5)


def test_views_without_common_parts_are_left_as_they_are(known: dict, rng) -> None:
    cameras, poses = scene(known, rng)
    found = camera_residuals(cameras, [poses[0], [], []], known)
    assert found.pairs == () and not found.shift_m.any()
    np.testing.assert_array_equal(found.motions, [np.eye(4)] * 3)
