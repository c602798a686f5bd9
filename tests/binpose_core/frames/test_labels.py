"""Partial labels are consistent, and hiding some leaves nothing of them."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.labels import hide_instances, lies_on, pixels_under
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import BACKGROUND, UNKNOWN, UNKNOWN_OBJECT, LabelledView

CAMERA = Camera(100.0, 100.0, 9.5, 7.5, 20, 16)


@pytest.fixture
def view() -> LabelledView:
    """Three parts side by side over a table."""
    ids = np.full((16, 20), BACKGROUND, np.int16)
    ids[4:12, 2:6], ids[4:12, 8:12], ids[4:12, 14:18] = 0, 1, 2
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 2, 3] = 0.5
    frame = RgbdFrame(np.zeros((16, 20, 3), np.uint8), None, CAMERA)
    return LabelledView(frame, ("cog", "rod", "cog"), poses, ids, np.array([1.0, 0.5, 1.0]))


def test_full_labels_are_known(view: LabelledView) -> None:
    assert view.known_weight.tolist() == [1, 1, 1] and view.pose_known.all()
    assert view.known_ids is view.instance_ids


def test_a_hidden_part_leaves_nothing(view: LabelledView) -> None:
    hidden = hide_instances(view, np.array([True, False, True]))
    np.testing.assert_array_equal(hidden.instance_ids, np.where(view.instance_ids == 1, UNKNOWN, view.instance_ids))
    assert hidden.instance_ids.dtype == view.instance_ids.dtype and hidden.frame is view.frame
    assert hidden.object_ids == ("cog", UNKNOWN_OBJECT, "cog") and np.isnan(hidden.T_cam_obj[1]).all()
    assert hidden.visible_fraction[1] == 0 and hidden.known_weight.tolist() == [1, 0, 1]
    assert hidden.pose_known.tolist() == [True, False, True]
    np.testing.assert_array_equal(hidden.T_cam_obj[[0, 2]], view.T_cam_obj[[0, 2]])
    assert (hide_instances(hidden, np.ones(3, bool)).instance_ids == hidden.instance_ids).all()


def test_what_lay_under_hidden_labels_makes_no_difference(view: LabelledView) -> None:
    other = replace(view, object_ids=("cog", "nut", "cog"), visible_fraction=np.array([1.0, 0.9, 1.0]))
    other.T_cam_obj[1, 0, 3] = 0.3
    ours, theirs = (hide_instances(each, np.array([True, False, True])) for each in (view, other))
    assert ours.object_ids == theirs.object_ids
    for name in ("T_cam_obj", "instance_ids", "visible_fraction", "weight"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_the_background_can_be_unknown_too(view: LabelledView) -> None:
    hidden = hide_instances(view, np.array([True, False, False]), keep_background=False)
    np.testing.assert_array_equal(hidden.instance_ids, np.where(view.instance_ids == 0, 0, UNKNOWN))


def test_a_weight_of_zero_and_an_unknown_class_are_unknown(view: LabelledView) -> None:
    poses = view.T_cam_obj.copy()
    poses[1] = np.nan
    without_class = replace(view, object_ids=("cog", UNKNOWN_OBJECT, "cog"), T_cam_obj=poses)
    for each in (replace(view, weight=np.array([1.0, 0.0, 1.0])), without_class):
        assert each.known_weight.tolist() == [1, 0, 1] and each.pose_known.tolist() == [True, False, True]
        np.testing.assert_array_equal(each.known_ids == UNKNOWN, view.instance_ids == 1)
    without_pose = replace(view, T_cam_obj=poses, weight=np.array([0.5, 0.5, 1.0]))
    assert without_pose.known_weight.tolist() == [0.5, 0.5, 1] and without_pose.pose_known.tolist() == [
        True,
        False,
        True,
    ]
    assert without_pose.known_ids is view.instance_ids, "the class is known"


def partly_nan(poses: np.ndarray) -> np.ndarray:
    poses = poses.copy()
    poses[2, 0, 3] = np.nan
    return poses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {"T_cam_obj": v.T_cam_obj[:2]}, r"3 parts with poses \(2, 4, 4\).*expected \(3, 4, 4\)"),
        (lambda v: {"visible_fraction": np.ones(2)}, r"visible fractions \(2,\)"),
        (lambda v: {"instance_ids": v.instance_ids[:8]}, r"instance_ids int16 \(8, 20\); expected integers \(16, 20\)"),
        (lambda v: {"instance_ids": v.instance_ids.astype(float)}, "instance_ids float64"),
        (lambda v: {"instance_ids": v.instance_ids + 1}, r"instance_ids from 0 to 3; expected indices below 3"),
        (lambda v: {"instance_ids": v.instance_ids - 2}, r"instance_ids from -3"),
        (lambda v: {"T_cam_obj": partly_nan(v.T_cam_obj)}, r"partly not finite \(part 2\)"),
        (lambda v: {"weight": np.array([1.0, 2.0, 0.0])}, r"weights \[1.0, 2.0, 0.0\]; expected one in \[0, 1\]"),
        (lambda v: {"weight": np.ones(2)}, "expected one in"),
        (lambda v: {"weight": np.array([1.0, np.nan, 1.0])}, "expected one in"),
        (lambda v: {"object_ids": ("cog", UNKNOWN_OBJECT, "rod")}, r"pose of a part of unknown class \(part 1\)"),
    ],
)
def test_labels_that_contradict_each_other_are_refused(view: LabelledView, change, message: str) -> None:
    with pytest.raises(BinposeError, match=message) as raised:
        replace(view, **change(view))
    assert "\n" not in str(raised.value)


def test_hiding_needs_one_value_per_part(view: LabelledView) -> None:
    with pytest.raises(BinposeError, match=r"3 parts with keep \(2,\)"):
        hide_instances(view, np.array([True, False]))


def test_a_pose_lies_on_the_pixels_that_its_points_project_to(view: LabelledView) -> None:
    """Of points beside the image or behind the camera, there are none."""
    points = np.array([[0.0, 0.0, 0.0], [0.03, 0.0, 0.0], [10.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    T = view.T_cam_obj[0]
    assert pixels_under(view.instance_ids, T, points, CAMERA).tolist() == [1, 2]
    on_rod = view.instance_ids == 1
    assert lies_on(on_rod, T, points, CAMERA, 0.25) and not lies_on(on_rod, T, points, CAMERA, 0.26)
    assert not lies_on(np.zeros_like(on_rod), T, points, CAMERA, 0.0)
