"""Camera poses are checked where they enter."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.camera_view import CameraView, rigid_pose
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation

POSE = from_rotation_translation(exp_so3(np.array([0.1, -0.4, 0.7])), np.array([0.5, 0.1, 0.9]))
FRAME = RgbdFrame(np.zeros((8, 8), np.uint8), None, Camera(8.0, 8.0, 3.5, 3.5, 8, 8), name="left")


def test_a_rounded_pose_becomes_exactly_rigid() -> None:
    pose = rigid_pose(POSE.round(4).tolist(), "T_world_cam", "here")
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(pose, POSE, atol=1e-3)


def test_sixteen_numbers_row_by_row_are_a_pose() -> None:
    np.testing.assert_allclose(rigid_pose(POSE.ravel().tolist(), "T_world_cam", "here"), POSE, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "16 finite numbers"),
        ("north", "16 finite numbers"),
        (np.full((4, 4), np.nan), "16 finite numbers"),
        (np.eye(3), "16 finite numbers"),
        (np.diag([2.0, 2.0, 2.0, 1.0]), "a rigid motion"),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "a rigid motion"),
        (np.zeros((4, 4)), "a rigid motion"),
        (from_rotation_translation(np.eye(3), np.array([0, 0, 5e6])), "a translation in metres"),
    ],
)
def test_no_pose_is_refused_in_one_sentence(values, said: str) -> None:
    with pytest.raises(BinposeError) as raised:
        rigid_pose(values, "T_world_cam", "camera.json")
    text = str(raised.value)
    assert text.startswith("T_world_cam is ") and "in camera.json; expected" in text and said in text
    assert text.endswith("; correct or remove it.") and "\n" not in text


def test_a_view_checks_its_pose_and_has_its_frames_name() -> None:
    assert CameraView(FRAME, POSE).name == "left"
    with pytest.raises(BinposeError, match="in view 'left'"):
        CameraView(FRAME, np.diag([1.0, 2.0, 1.0, 1.0]))
