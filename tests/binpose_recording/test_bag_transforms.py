"""Camera poses from the transforms of a bag."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.view_sources import group_views
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_recording.bag_frames import bag_frames
from binpose_recording.cdr import standard_types
from binpose_recording.latched import TRANSFORMS
from binpose_ros.stamps import to_header

from .test_bag_frames import TYPES, camera_messages, header, write

T_FLANGE_CAM = from_rotation_translation(exp_so3(np.array([0.1, 0.2, 0.3])), np.array([0.05, 0.0, 0.1]))
EVERY = 6


def T_base_flange(index: float) -> np.ndarray:
    return from_rotation_translation(exp_so3(np.array([0.0, 0.0, 0.2 * index])), np.array([0.1 * index, 0.4, 0.9]))


def transforms(index: int, parent: str, child: str, T: np.ndarray):
    """A TFMessage with one transform."""
    from binpose_core.geometry.transforms import quat_xyzw_from_rotation

    t = standard_types().types
    x, y, z, w = quat_xyzw_from_rotation(T[:3, :3]).tolist()
    transform = t["geometry_msgs/msg/Transform"](
        t["geometry_msgs/msg/Vector3"](*T[:3, 3].tolist()), t["geometry_msgs/msg/Quaternion"](x, y, z, w)
    )
    stamped = t["geometry_msgs/msg/TransformStamped"](to_header(header(index, parent), TYPES), child, transform)
    return t[TRANSFORMS]([stamped])


def moving_camera(count: int = 5, every: int = 2):
    """A wrist camera: transforms at every second frame only."""
    yield "/tf_static", TRANSFORMS, 0, transforms(0, "flange", "optical", T_FLANGE_CAM)
    for index in range(0, count, every):
        yield "/tf", TRANSFORMS, index, transforms(index, "base", "flange", T_base_flange(index))
    yield from camera_messages(count)


def test_camera_poses_are_interpolated_at_the_image_stamps(tmp_path) -> None:
    frames = bag_frames(write(tmp_path / "bag", moving_camera())).frames
    for index, frame in enumerate(frames):
        np.testing.assert_allclose(frame.camera_pose(), T_base_flange(index) @ T_FLANGE_CAM, atol=1e-6)


def test_the_frames_of_a_moving_camera_are_views_of_one_bin(tmp_path) -> None:
    (group,) = group_views(bag_frames(write(tmp_path / "pile", moving_camera())).frames)
    assert group.name == "pile" and len(group.sources) == 5


def test_another_world_frame_can_be_chosen(tmp_path) -> None:
    frame = bag_frames(write(tmp_path / "bag", moving_camera()), world_frame="flange").frames[0]
    np.testing.assert_allclose(frame.camera_pose(), T_FLANGE_CAM, atol=1e-6)


def test_a_bag_without_transforms_has_no_camera_poses(tmp_path) -> None:
    frames = bag_frames(write(tmp_path / "bag", camera_messages())).frames
    assert [frame.camera_pose() for frame in frames] == [None] * 3
    assert [len(group.sources) for group in group_views(frames)] == [1, 1, 1]


def test_a_frame_outside_of_the_transforms_time_stays_alone_and_says_why(tmp_path) -> None:
    groups = group_views(bag_frames(write(tmp_path / "bag", moving_camera(4, 2))).frames)
    assert [len(group.sources) for group in groups] == [3, 1]
    assert "used alone: No transform from 'optical' to 'base'" in groups[1].notes[0]


def test_an_unknown_world_frame_is_named(tmp_path) -> None:
    frame = bag_frames(write(tmp_path / "bag", moving_camera()), world_frame="moon").frames[0]
    with pytest.raises(BinposeError, match="'moon'"):
        frame.camera_pose()
