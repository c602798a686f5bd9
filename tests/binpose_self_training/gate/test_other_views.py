"""A pose that another view of the bin contradicts does not count; one that it hides or confirms does."""

from typing import Any

import numpy as np
import pytest

from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import exp_so3, inverse
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_self_training.gate.evidence import paired_evidence
from binpose_self_training.gate.judge import Judge
from binpose_self_training.gate.other_views import OtherView, other_views

from .known_poses import reported

PIVOT = np.array([0.0, 0.0, 0.36])


def turned_about(angle_rad: float) -> np.ndarray:
    """T_world_cam of a camera that was turned about the middle of the parts; the first camera is the world."""
    T = np.eye(4)
    T[:3, :3] = exp_so3(np.array([[0.0, angle_rad, 0.0]]))[0]
    T[:3, 3] = PIVOT - T[:3, :3] @ PIVOT
    return T


def seen_from(scene: Any, objects: tuple[ObjectModel, ...], T_world_cam: np.ndarray, shown: list[int]) -> RgbdFrame:
    """The parts `shown` of a scene before another camera, without a table."""
    ids = np.array([[part.id for part in objects].index(scene.object_ids[i]) for i in shown])
    T = inverse(T_world_cam) @ scene.T_cam_obj[shown]
    drawn = Renderer([part.mesh for part in objects]).scene(ids, T, scene.frame.camera)
    depth = np.where(drawn.instance_ids >= 0, drawn.depth_m, np.float32(0.6))
    return RgbdFrame(scene.frame.color, depth.astype(np.float32), scene.frame.camera)


@pytest.fixture
def view(scenes: list[Any], objects: tuple[ObjectModel, ...]) -> Any:
    def make(shown: list[int], angle_rad: float = 0.5) -> list[OtherView]:
        T_world_cam = turned_about(angle_rad)
        frame = seen_from(scenes[0], objects, T_world_cam, shown)
        return other_views(CameraView(scenes[0].frame, np.eye(4)), [CameraView(frame, T_world_cam)])

    return make


def test_views_that_confirm_all_poses_change_nothing(view: Any, scenes: list[Any], judge: Judge) -> None:
    whole = reported(scenes[0])
    alone = paired_evidence(scenes[0].frame, whole, whole[:2], judge)
    both = paired_evidence(scenes[0].frame, whole, whole[:2], judge, views=view([0, 1, 2]))
    assert (both.champion.verified, both.candidate.verified) == (3, 2)
    assert both.difference == pytest.approx(alone.difference, abs=0.05)


def test_a_pose_that_another_view_contradicts_does_not_count(view: Any, scenes: list[Any], judge: Judge) -> None:
    """The second view looks through the place of the first part."""
    whole = reported(scenes[0])
    found = paired_evidence(scenes[0].frame, whole, whole[1:], judge, views=view([1, 2]))
    assert found.champion.verified == found.candidate.verified == 2
    assert found.difference > 0.0, "the candidate does not report the contradicted pose"


def test_a_view_that_does_not_show_a_part_says_nothing_about_it(view: Any, scenes: list[Any], judge: Judge) -> None:
    whole = reported(scenes[0])
    alone = paired_evidence(scenes[0].frame, whole, whole, judge)
    away = paired_evidence(scenes[0].frame, whole, whole, judge, views=view([0, 1, 2], angle_rad=np.pi / 2.2))
    assert away.champion.verified >= alone.champion.verified - 1


def test_the_relative_pose_is_that_of_both_cameras(view: Any, scenes: list[Any]) -> None:
    (other,) = view([0])
    np.testing.assert_allclose(other.T_other_cam @ np.append(PIVOT, 1.0), np.append(PIVOT, 1.0), atol=1e-9)
    np.testing.assert_allclose(other.T_other_cam @ turned_about(0.5), np.eye(4), atol=1e-9)
