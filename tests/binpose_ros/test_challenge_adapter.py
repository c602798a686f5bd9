"""The bin-picking challenge speaks in millimetres and numbers; its tester fills in only part of its messages."""

import sys
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, quat_xyzw_from_rotation
from binpose_core.parts.objects import ObjectModel
from binpose_ros.challenge_adapter import (
    ChallengeService,
    ChallengeSettings,
    T_cam_world,
    choose_camera,
    from_poses,
    names_of,
    to_frame,
)
from binpose_ros.frames import from_camera
from binpose_ros.images import from_color, from_depth_m
from binpose_ros.stamps import Header

UNIT_M = 1e-4


def as_the_tester_sends(types: Any, camera: Camera, name: str, depth_m: Any, T_cam_world: Any = None) -> Any:
    """A message with K, the frame id and the images alone filled in; depth in units, without a header."""
    info = from_camera(camera, Header(0, name), types)
    info.width = info.height = 0
    gray = np.arange(depth_m.size, dtype=np.uint8).reshape(depth_m.shape)
    rgb = from_color(gray, Header(0, ""), types)
    rgb.encoding = "8UC1"
    depth = from_depth_m(np.round(depth_m / UNIT_M).astype(np.float32), Header(0, ""), types)
    T = np.eye(4) if T_cam_world is None else T_cam_world
    (x, y, z), (qx, qy, qz, qw) = 1e3 * T[:3, 3], quat_xyzw_from_rotation(T[:3, :3])
    pose = types.Pose(position=types.Point(x=x, y=y, z=z), orientation=types.Quaternion(x=qx, y=qy, z=qz, w=qw))
    return SimpleNamespace(info=info, rgb=rgb, depth=depth, pose=pose)


@pytest.fixture
def T() -> Any:
    return from_rotation_translation(exp_so3(np.array([2.9, 0.2, -0.1])), np.array([0.1, -0.2, 1.5]))


@pytest.fixture
def message(types: Any, camera: Camera, rng: np.random.Generator, T: Any) -> Any:
    depth_m = rng.uniform(0.5, 0.6, (camera.height, camera.width))
    return as_the_tester_sends(types, camera, "photoneo", depth_m, T)


def without_images(message: Any) -> Any:
    empty = SimpleNamespace(data=b"")
    return SimpleNamespace(**{**vars(message), "rgb": empty, "depth": empty})


def named(message: Any, types: Any, camera: Camera, name: str) -> Any:
    return SimpleNamespace(**{**vars(message), "info": from_camera(camera, Header(0, name), types)})


def test_a_frame_is_in_metres_with_the_size_of_its_images(message: Any, camera: Camera) -> None:
    frame = to_frame(message, UNIT_M)
    assert frame.camera == camera and frame.frame_id == "photoneo" and frame.color.ndim == 2
    assert frame.depth_m is not None
    expected = np.frombuffer(message.depth.data, np.float32).reshape(frame.depth_m.shape) * 1e-4
    np.testing.assert_allclose(frame.depth_m, expected, rtol=1e-6)


def test_a_wrong_unit_of_depth_is_refused_by_the_name_of_its_parameter(message: Any) -> None:
    with pytest.raises(BinposeError, match=r"challenge\.depth_unit_m"):
        to_frame(message, 1.0)


def test_a_part_keeps_its_place_in_the_world(message: Any, types: Any, T: Any) -> None:
    T_world_obj = from_rotation_translation(exp_so3(np.array([0.3, -1.0, 0.4])), np.array([0.05, 0.02, 0.1]))
    pose = PoseEstimate("block", T @ T_world_obj, 0.75)
    (answer,) = from_poses([pose], T_cam_world(message), {8: "block"}, SimpleNamespace, types)
    assert (answer.obj_id, answer.score) == (8, 0.75)
    p, q = answer.pose.position, answer.pose.orientation
    np.testing.assert_allclose([p.x, p.y, p.z], 1e3 * T_world_obj[:3, 3], atol=1e-9)
    turned = np.array([q.x, q.y, q.z, q.w]) @ quat_xyzw_from_rotation(T_world_obj[:3, :3])
    assert abs(turned) == pytest.approx(1.0, abs=1e-12)


def test_a_camera_without_a_pose_is_refused(message: Any) -> None:
    message.pose.orientation.x = message.pose.orientation.y = 0.0
    message.pose.orientation.z = message.pose.orientation.w = 0.0
    with pytest.raises(BinposeError, match="photoneo"):
        T_cam_world(message)


def test_the_photoneo_is_used_unless_another_camera_is_named(message: Any, types: Any, camera: Camera) -> None:
    first, second = (named(message, types, camera, name) for name in ("cam1", "cam2"))
    request = SimpleNamespace(photoneo=message, cameras=[first, second])
    assert choose_camera(request) is message
    assert choose_camera(request, "cam2") is second
    request.photoneo = without_images(message)
    assert choose_camera(request) is first
    with pytest.raises(BinposeError, match=r"'cam1', 'cam2'.*'photoneo'"):
        choose_camera(request, "photoneo")
    with pytest.raises(BinposeError, match="none"):
        choose_camera(SimpleNamespace(photoneo=without_images(message), cameras=[]))


def test_numbers_are_those_of_bop_unless_others_are_given(block: ObjectModel) -> None:
    objects = {"block": block, "rod": replace(block, id="rod", bop_id=2)}
    assert names_of(objects) == {1: "block", 2: "rod"}
    assert names_of(objects, ["block=0"]) == {0: "block", 2: "rod"}
    assert names_of(objects, ["block=2", "rod=1"]) == {2: "block", 1: "rod"}
    with pytest.raises(BinposeError, match="bolt"):
        names_of(objects, ["bolt=3"])
    with pytest.raises(BinposeError, match="one number"):
        names_of(objects, ["block=2"])


@pytest.mark.parametrize("entry", ["block", "block=", "=3", "block=-1", "block=first"])
def test_a_number_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(BinposeError, match="<part>=<number>"):
        ChallengeSettings(object_ids=(entry,))


def test_without_the_challenges_package_nothing_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ibpc_interfaces", None)
    said: list[str] = []
    logger = SimpleNamespace(debug=said.append)
    ChallengeService(SimpleNamespace(get_logger=lambda: logger))  # a node that can offer nothing
    assert len(said) == 1 and "ibpc_interfaces" in said[0]


def joined_by(service_join: Any, request: Any, alone: Any) -> tuple[Any, Any, list[str]]:
    """What a service with these cameras answers before it is converted, and what it logs."""
    said: list[str] = []
    logger = SimpleNamespace(info=said.append, debug=said.append)
    node = SimpleNamespace(get_logger=lambda: logger, settings=SimpleNamespace(challenge=ChallengeSettings()))
    poses, T = ChallengeService(node, service_join)._poses(request, SimpleNamespace(stage=lambda frame: alone))
    return poses, T, said


def test_all_cameras_with_images_are_used_together(message: Any, T: Any) -> None:
    request = SimpleNamespace(photoneo=message, cameras=[message, without_images(message), message])
    given: list[Any] = []

    def join(model: Any, frames: Any, T_world_cam: Any) -> Any:
        given.extend(zip(frames, T_world_cam, strict=True))
        return ["world poses"], ["The camera poses agree."]

    poses, T_here_world, said = joined_by(join, request, ["poses of one"])
    assert poses == ["world poses"] and len(given) == 3
    np.testing.assert_array_equal(T_here_world, np.eye(4))
    np.testing.assert_allclose(given[0][1] @ T, np.eye(4), atol=1e-9)
    assert said[-1].endswith("The camera poses agree.")


def test_a_camera_that_cannot_be_used_leaves_the_others(message: Any, T: Any) -> None:
    broken = replace_depth_encoding(message)
    request = SimpleNamespace(photoneo=broken, cameras=[message, message])
    poses, _, said = joined_by(lambda model, frames, places: ([len(frames)], []), request, [])
    assert poses == [2] and "'rgb8'" in said[-1]
    with pytest.raises(BinposeError, match="'rgb8'"):
        joined_by(lambda *_: pytest.fail("joined"), SimpleNamespace(photoneo=broken, cameras=[broken]), [])


def replace_depth_encoding(message: Any) -> Any:
    wrong = deepcopy(message)
    wrong.depth.encoding = "rgb8"
    return wrong


def test_one_camera_is_not_joined(message: Any) -> None:
    request = SimpleNamespace(photoneo=message, cameras=[without_images(message)])
    poses, _, _ = joined_by(lambda *_: pytest.fail("joined"), request, ["poses of one"])
    assert poses == ["poses of one"]
