from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, inverse
from binpose_core.rendering.renderer import Renderer
from binpose_self_training.selection.repeated_views import Repetition, TestTimeView, turned_camera

from ..conftest import moved


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_frame_shows_the_turned_parts(known, parts, turns):
    """Rendering the turned poses with the turned camera gives the turned depth image."""
    frame, view = known.scene.frame, TestTimeView(turns, gamma=0.8)
    turned = view.of(frame)
    renderer = Renderer([part.mesh for part in parts.values()])
    ids = np.array([list(parts).index(name) for name in known.scene.object_ids])
    drawn = renderer.scene(ids, view.T_turned_cam @ known.scene.T_cam_obj, turned_camera(frame.camera, turns))
    shown = drawn.mask & (turned.depth_m < 0.41)
    assert shown.sum() > 0.97 * drawn.mask.sum()
    np.testing.assert_allclose(drawn.depth_m[shown], turned.depth_m[shown], atol=1e-3)


def test_four_quarter_turns_give_the_same_frame(known):
    frame = known.scene.frame
    again = frame
    for _ in range(4):
        again = TestTimeView(1).of(again)
    assert again.camera == frame.camera
    np.testing.assert_array_equal(again.color, frame.color)


def test_poses_that_a_teacher_finds_again_are_returned(known, parts):
    views = [TestTimeView(2), TestTimeView(1)]
    asked = []

    def teacher(turned):
        view = views[len(asked)]
        asked.append(turned)
        poses = [replace(pose, T_cam_obj=view.T_turned_cam @ pose.T_cam_obj) for pose in known.poses]
        return [poses[0], moved(poses[1], (0.02, 0, 0))] + (poses[2:] if len(asked) == 1 else [])

    returned = Repetition(parts).returned(known.scene.frame, known.poses, views, teacher)
    np.testing.assert_allclose(returned, [1.0, 0.0, 0.5])


def test_a_symmetric_twin_is_the_same_pose(known, parts):
    rod = known.scene.object_ids.index("rod")
    turned = moved(known.poses[rod], turn_rad=(0, 0, 1.0))
    returned = Repetition(parts).returned(known.scene.frame, known.poses, [TestTimeView(0)], lambda frame: [turned])
    assert returned[rod] == 1.0


def test_without_views_nothing_is_known(known, parts):
    assert np.isnan(Repetition(parts).returned(known.scene.frame, known.poses, [], lambda frame: [])).all()


def second_view(known, parts):
    """The scene from another place: frame, T_world_cam of both, and the poses there."""
    T_cam_second = from_rotation_translation(exp_so3(np.array([0.0, 0.25, 0.0])), np.array([-0.09, 0.0, 0.02]))
    T_second = inverse(T_cam_second)
    poses = [replace(pose, T_cam_obj=T_second @ pose.T_cam_obj) for pose in known.poses]
    renderer = Renderer([part.mesh for part in parts.values()])
    ids = np.array([list(parts).index(name) for name in known.scene.object_ids])
    drawn = renderer.scene(ids, np.stack([pose.T_cam_obj for pose in poses]), known.scene.frame.camera)
    depth = np.where(drawn.mask, drawn.depth_m, np.float32(0.5)).astype(np.float32)
    return replace(known.scene.frame, depth_m=depth), T_cam_second, poses


def test_other_views_confirm_what_they_report_and_contradict_what_they_see_otherwise(known, parts):
    frame, T_cam_second, poses = second_view(known, parts)
    reported = [poses[0], moved(poses[1], (0.0, 0.015, 0))]
    same = Repetition(parts).in_other_views(known.poses, np.eye(4), [(frame, T_cam_second, reported)])
    np.testing.assert_allclose(same, [1.0, 0.0, 0.0])


def test_views_that_do_not_see_a_part_do_not_count(known, parts):
    far = from_rotation_translation(np.eye(3), np.array([5.0, 0.0, 0.0]))
    poses: list[PoseEstimate] = []
    same = Repetition(parts).in_other_views(known.poses, np.eye(4), [(known.scene.frame, far, poses)])
    assert np.isnan(same).all()
