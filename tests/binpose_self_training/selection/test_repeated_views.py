from dataclasses import replace

import numpy as np
import pytest

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


def seen_from(known, T_cam_second):
    """The poses of the parts in another camera."""
    return [replace(pose, T_cam_obj=inverse(T_cam_second) @ pose.T_cam_obj) for pose in known.poses]


SECOND = from_rotation_translation(exp_so3(np.array([0.0, 0.25, 0.0])), np.array([-0.09, 0.0, 0.02]))


def test_other_views_confirm_the_same_pose_and_contradict_another_one_in_its_place(known, parts):
    poses = seen_from(known, SECOND)
    reported = [poses[0], moved(poses[1], turn_rad=(0.8, 0, 0))]
    same = Repetition(parts).in_other_views(known.poses, np.eye(4), [(SECOND, reported)])
    np.testing.assert_allclose(same, [1.0, 0.0, np.nan])  # nothing is reported where the last part is


def test_several_views_vote(known, parts):
    poses = seen_from(known, SECOND)
    views = [(SECOND, poses), (np.eye(4), known.poses), (np.eye(4), [moved(known.poses[0], turn_rad=(1.0, 0.5, 0))])]
    same = Repetition(parts).in_other_views(known.poses, np.eye(4), views)
    np.testing.assert_allclose(same, [2 / 3, 1.0, 1.0])


def test_a_neighbour_says_nothing_about_a_pose(known, parts):
    aside = [moved(pose, (0.04, 0, 0)) for pose in known.poses[:1]]
    assert np.isnan(Repetition(parts).in_other_views(known.poses[:1], np.eye(4), [(np.eye(4), aside)])).all()
