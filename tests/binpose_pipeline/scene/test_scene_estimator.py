"""Laws of the estimation from several views."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera_view import CameraView
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, transform
from binpose_pipeline.scene.alike_poses import moved_covariance

from .conftest import Bin, looking


def by_place(poses):
    return sorted(poses, key=lambda pose: tuple(pose.T_world_obj[:3, 3].round(4)))


def shifted(T_world_cam: np.ndarray, offset_m) -> np.ndarray:
    moved = T_world_cam.copy()
    moved[:3, 3] += offset_m
    return moved


def test_one_view_alone_is_the_single_view_result(cell: Bin, views) -> None:
    result = cell.estimate([views[0]])
    alone = cell.pipeline(views[0].frame)
    assert result.poses == () and result.together == ()
    assert [p.score for p in result.in_cameras[0]] == [p.score for p in alone]
    np.testing.assert_array_equal([p.T_cam_obj for p in result.in_cameras[0]], [p.T_cam_obj for p in alone])


def test_all_parts_are_found_once_within_half_a_millimetre(cell: Bin, views) -> None:
    result = cell.estimate(views)
    assert result.together == (0, 1, 2)
    assert len([p for p in result.poses if p.score >= 0.5]) == len(cell.names)
    assert cell.errors_m(result.poses).max() < 5e-4


def test_the_order_of_views_does_not_matter(cell: Bin, views) -> None:
    one, other = cell.estimate(views), cell.estimate(views[::-1])
    a, b = by_place(one.poses), by_place(other.poses)
    assert [p.object_id for p in a] == [p.object_id for p in b]
    np.testing.assert_allclose([p.T_world_obj for p in a], [p.T_world_obj for p in b], atol=1e-6)
    np.testing.assert_allclose([p.score for p in a], [p.score for p in b], atol=1e-6)


def test_a_motion_of_the_world_moves_the_result_along(cell: Bin, views) -> None:
    motion = from_rotation_translation(exp_so3(np.array([0.3, -0.2, 1.0])), np.array([0.5, -0.3, 0.8]))
    here = cell.estimate(views)
    there = cell.estimate([replace(view, T_world_cam=motion @ view.T_world_cam) for view in views])
    expected = [motion @ pose.T_world_obj for pose in here.poses]
    np.testing.assert_allclose([pose.T_world_obj for pose in there.poses], expected, atol=1e-5)
    np.testing.assert_allclose([p.score for p in here.poses], [p.score for p in there.poses], atol=1e-4)


def test_a_part_missed_in_one_view_and_seen_in_another_is_found_in_both(cell: Bin, views) -> None:
    cell.blind = {"view0": (0, 3), "view1": (3,)}
    result = cell.estimate(views)
    assert cell.errors_m(result.poses).max() < 1e-3
    for own in result.in_cameras:
        assert len([pose for pose in own if pose.score >= 0.5]) == len(cell.names)


def test_the_fused_covariance_is_never_larger_than_that_of_one_view(cell: Bin, views) -> None:
    fusion = cell.estimate._fusion
    results = [cell.pipeline.timed(view.frame) for view in views]
    poses = fusion(views, results)
    measured = fusion.measured(views, results)
    assert poses
    for pose in poses:
        said = [[agreement.log_odds[i] for agreement in measured.agreements] for i in range(len(measured.hypotheses))]
        i = said.index(list(pose.log_odds))
        for view, agreement in zip(views, measured.agreements, strict=True):
            own = agreement.covariances[i]
            if own is not None and agreement.log_odds[i] > 0:
                larger = moved_covariance(own, view.T_world_cam) - pose.covariance
                assert np.linalg.eigvalsh(larger).min() > -1e-9


@pytest.mark.parametrize("size_mm", [3.0, 7.0, 12.0])
def test_a_shifted_camera_is_noticed_with_its_millimetres_and_corrected(cell: Bin, views, size_mm: float) -> None:
    direction = np.array([0.6, 0.64, 0.48])
    off = replace(views[1], T_world_cam=shifted(views[1].T_world_cam, direction * size_mm * 1e-3))
    result = cell.estimate([views[0], off, views[2]])
    assert result.together == (0, 1, 2)
    assert result.residuals.shift_m[1] * 1e3 == pytest.approx(size_mm, abs=0.5)
    assert result.residuals.shift_m[[0, 2]].max() < 5e-4
    assert "The camera pose of view view1 is off by" in result.notes[-1]
    assert cell.errors_m(result.poses).max() < 1e-3


def test_right_camera_poses_are_said_to_agree(cell: Bin, views) -> None:
    (note,) = cell.estimate(views).notes
    assert note.startswith("The camera poses agree within 0.")


def test_a_view_of_another_bin_is_left_out_and_says_why(cell: Bin, views) -> None:
    other = Bin(cell.objects, cell.names, cell.T_world_obj.copy())
    other.T_world_obj[:, 0, 3] = -1.0 * cell.T_world_obj[:, 0, 3] + 0.035
    stranger = other.view("stranger", looking(1.0))
    cell.seen |= other.seen
    result = cell.estimate([*views[:2], stranger])
    assert result.together == (0, 1)
    assert "View stranger is used alone" in result.notes[0] and "another bin" in result.notes[0]
    assert cell.errors_m(result.poses).max() < 1e-3


def test_a_bin_that_moved_between_two_views_is_not_fused(cell: Bin, views) -> None:
    moved = Bin(cell.objects, cell.names, cell.T_world_obj.copy())
    moved.T_world_obj[:, :2, 3] += [0.06, 0.03]
    after = moved.view("after", looking(2.0))
    cell.seen |= moved.seen
    result = cell.estimate([views[0], after])
    assert result.together == () or len(result.together) < 2
    assert result.poses == ()
    assert any("the bin moved between the views" in note for note in result.notes)
    for view, own in zip([views[0], after], result.in_cameras, strict=True):
        alone = cell.pipeline(view.frame)
        np.testing.assert_array_equal([p.T_cam_obj for p in own], [p.T_cam_obj for p in alone])


def test_what_one_view_misses_and_another_explains_is_not_unexplained(cell: Bin, views) -> None:
    """Of each view's content, what no joined pose explains there, also beyond the view's own detections."""
    cell.blind = {"view0": (2, 3)}
    result = cell.estimate(views)
    assert result.results[0].unexplained > 0.08 and result.unexplained[0] < 0.05
    labels, poses = cell.seen["view0"][1], result.in_cameras[0]
    cell.blind = {"view0": (2, 3), "view1": (3,), "view2": (3,)}
    result = cell.estimate(views)
    assert len(result.in_cameras[0]) == len(poses) - 1
    assert result.unexplained[0] == pytest.approx((labels == 3).sum() / (labels >= 0).sum(), abs=0.08)
    one = cell.estimate(views[:1])
    assert one.unexplained == (one.results[0].unexplained,)


def test_poses_that_look_alike_are_listed_with_what_the_first_leaves(cell: Bin, views) -> None:
    """A hypothesis on the same pixels is an alternative in the world and in each camera; at most one is right."""
    cell.doubt = {0: from_rotation_translation(exp_so3(np.array([0.0, 0.0, np.pi])), np.zeros(3))}
    result = cell.estimate(views)
    near = cell.objects[cell.names[0]].center_in(cell.T_world_obj[0])
    apart = [np.linalg.norm(cell.objects[p.object_id].center_in(p.T_world_obj) - near) for p in result.poses]
    found = [pose for pose, distance_m in zip(result.poses, apart, strict=True) if distance_m < 5e-3]
    assert len(found) == 1 and found[0].alternatives
    for pose in result.poses:
        scores = [pose.score, *(other.score for other in pose.alternatives)]
        assert sum(scores) <= 1 + 1e-9 or len(scores) == 1
        assert scores[1:] == sorted(scores[1:], reverse=True)
    (own,) = [p for p in result.in_cameras[1] if p.score == found[0].score]
    expected = [found[0], *found[0].alternatives]
    placed = [result.T_world_cam[1] @ hypothesis.T_cam_obj for hypothesis in own.hypotheses]
    np.testing.assert_allclose(placed, [pose.T_world_obj for pose in expected], atol=1e-9)
    assert [hypothesis.score for hypothesis in own.hypotheses] == [pose.score for pose in expected]


def test_no_view_is_refused() -> None:
    with pytest.raises(BinposeError, match="No view of a bin was given"):
        raise_for_nothing()


def raise_for_nothing() -> None:
    from binpose_pipeline.scene.scene_estimator import SceneEstimator

    SceneEstimator.__call__(object.__new__(SceneEstimator), [])


def test_poses_in_cameras_are_those_of_the_world(cell: Bin, views) -> None:
    result = cell.estimate(views)
    for number, view in enumerate(views):
        centers = {tuple(p.T_world_obj[:3, 3].round(6)) for p in result.poses}
        for pose in result.in_cameras[number]:
            back = transform(result.T_world_cam[number], pose.T_cam_obj[None, :3, 3])[0]
            assert tuple(back.round(6)) in centers
        assert isinstance(view, CameraView)
