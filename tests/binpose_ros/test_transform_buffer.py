"""Transforms compose along the tree, are interpolated between their stamps, and are never made up."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.types import Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse
from binpose_ros.transform_buffer import KEEP_S, TransformBuffer

S = 1_000_000_000


def pose(rng: np.random.Generator) -> FloatArray:
    return from_rotation_translation(Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3))


def turned(angle_rad: float, x_m: float) -> FloatArray:
    return from_rotation_translation(Rotation.from_rotvec([0, 0, angle_rad]).as_matrix(), np.array([x_m, 0, 0]))


def refused(buffer: TransformBuffer, target: str, source: str, stamp_ns: int) -> str:
    with pytest.raises(BinposeError) as caught:
        buffer.lookup(target, source, stamp_ns)
    assert caught.value.reason is Reason.TF_MISSING and repr(source) in str(caught.value)
    return str(caught.value)


def test_lookups_compose_and_are_inverse_to_each_other(rng: np.random.Generator) -> None:
    buffer = TransformBuffer()
    T_base_flange, T_flange_cam, T_base_bin = pose(rng), pose(rng), pose(rng)
    buffer.put("base", "flange", 5 * S, T_base_flange)
    buffer.put("flange", "camera", 0, T_flange_cam, static=True)
    buffer.put("base", "bin", 0, T_base_bin, static=True)
    np.testing.assert_allclose(buffer.lookup("base", "camera", 5 * S), T_base_flange @ T_flange_cam)
    T_bin_cam = buffer.lookup("bin", "camera", 5 * S)
    np.testing.assert_allclose(T_bin_cam, inverse(T_base_bin) @ T_base_flange @ T_flange_cam, atol=1e-12)
    np.testing.assert_allclose(T_bin_cam @ buffer.lookup("camera", "bin", 5 * S), np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(buffer.lookup("camera", "camera", 99 * S), np.eye(4))


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_between_two_stamps_a_motion_is_even(fraction: float) -> None:
    buffer = TransformBuffer()
    buffer.put("base", "camera", 2 * S, turned(0.8, 3.0))
    buffer.put("base", "camera", 1 * S, turned(0.0, 1.0))  # out of order, as over UDP
    found = buffer.lookup("base", "camera", S + round(fraction * S))
    np.testing.assert_allclose(found, turned(0.8 * fraction, 1.0 + 2.0 * fraction), atol=1e-12)


def test_nothing_is_extrapolated() -> None:
    buffer = TransformBuffer()
    buffer.put("base", "camera", 1 * S, turned(0, 1))
    buffer.put("base", "camera", 2 * S, turned(0, 2))
    assert "newest one is 0.500 s off" in refused(buffer, "base", "camera", 2 * S + S // 2)
    assert "oldest one is 1.000 s off" in refused(buffer, "base", "camera", 0)


def test_static_transforms_hold_at_any_time() -> None:
    buffer = TransformBuffer()
    buffer.put("base", "camera", 7 * S, turned(0.1, 1), static=True)
    for stamp_ns in (0, 7 * S, 10**19):
        np.testing.assert_array_equal(buffer.lookup("base", "camera", stamp_ns), turned(0.1, 1))


def test_what_is_not_connected_is_named() -> None:
    buffer = TransformBuffer()
    assert "'camera' and 'base' are not connected" in refused(buffer, "base", "camera", 0)
    buffer.put("mount", "camera", 0, turned(0, 1), static=True)
    assert "'mount' and 'base' are not connected" in refused(buffer, "base", "camera", 0)


def test_a_loop_ends_with_its_name_and_not_never() -> None:
    buffer = TransformBuffer()
    buffer.put("a", "b", 0, turned(0, 1), static=True)
    buffer.put("b", "c", 0, turned(0, 1), static=True)
    buffer.put("c", "a", 0, turned(0, 1), static=True)
    assert "form a loop" in refused(buffer, "base", "c", 0)


def test_what_tf_does_not_take_is_ignored() -> None:
    buffer = TransformBuffer()
    buffer.put("camera", "camera", 0, turned(0, 1), static=True)
    buffer.put("", "camera", 0, turned(0, 1), static=True)
    buffer.put("base", "camera", 0, np.full((4, 4), math.nan), static=True)
    refused(buffer, "base", "camera", 0)


def test_memory_is_bounded_and_a_restarted_clock_counts() -> None:
    buffer = TransformBuffer()
    for step in range(500):
        buffer.put("base", "camera", step * S // 10, turned(0, step))
    assert len(buffer._links["camera"].stamps_ns) <= KEEP_S * 10 + 1
    buffer.put("base", "camera", 3 * S, turned(0, 7.0))
    np.testing.assert_array_equal(buffer.lookup("base", "camera", 3 * S), turned(0, 7.0))


def test_poses_move_with_their_hypotheses_and_covariances(rng: np.random.Generator) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")
    from binpose_ros.transforms import moved

    T, T_cam_obj = pose(rng), pose(rng)
    spread = rng.normal(size=(6, 6))
    before = PoseEstimate(
        "bolt", T_cam_obj, 0.9, covariance=spread @ spread.T, hypotheses=(Hypothesis("bolt", T_cam_obj, 0.9),)
    )
    (there,) = moved([before], T)
    np.testing.assert_allclose(there.T_cam_obj, T @ T_cam_obj)
    np.testing.assert_allclose(there.hypotheses[0].T_cam_obj, T @ T_cam_obj)
    (back,) = moved([there], inverse(T))
    np.testing.assert_allclose(back.T_cam_obj, T_cam_obj, atol=1e-12)
    assert back.covariance is not None and there.covariance is not None and before.covariance is not None
    np.testing.assert_allclose(back.covariance, before.covariance, atol=1e-9)
    np.testing.assert_allclose(np.linalg.eigvalsh(there.covariance), np.linalg.eigvalsh(before.covariance), atol=1e-9)
    np.testing.assert_allclose(there.covariance[:3, :3], T[:3, :3] @ before.covariance[:3, :3] @ T[:3, :3].T)
