"""The bin-picking challenge's service, called as its tester calls it: the library's poses, in its units and frame."""

import importlib.util
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from live_graph import MODEL
from live_messages import assert_same_parts

SERVICE, UNIT_M = "/get_pose_estimates", 1e-4
OTHER_NUMBER = 0  # the challenge counts its objects from 0, BOP data sets from 1


@pytest.fixture(scope="module")
def bundle() -> Any:
    from binpose_pipeline.bundle import load_bundle

    return load_bundle(MODEL)


@pytest.fixture(scope="module")
def views(ros_environment: dict[str, str], bundle: Any) -> list[Any]:
    """A bin seen from four places."""
    from binpose_simulation.node import CameraSettings, simulate_views

    return simulate_views(bundle.objects, CameraSettings(views=4), seed=5)


@pytest.fixture(scope="module")
def request_(views: list[Any]) -> Any:
    """What the tester sends of them: K without a size, grey images without a header, the numbers of PNG files."""
    if importlib.util.find_spec("ibpc_interfaces") is None:
        pytest.skip("ibpc_interfaces cannot be imported: build it from github.com/opencv/bpc and source its setup.bash")
    from ibpc_interfaces.msg import Camera, Photoneo
    from ibpc_interfaces.srv import GetPoseEstimates

    cameras = [message(view, f"cam{n}", Camera, view.T_cam_world) for n, view in enumerate(views[:3], start=1)]
    for camera in cameras:
        camera.aolp = camera.dolp = camera.rgb
    photoneo = message(views[3], "photoneo", Photoneo, views[3].T_cam_world)
    return GetPoseEstimates.Request(cameras=cameras, photoneo=photoneo)


def message(view: Any, name: str, kind: Any, T: Any) -> Any:
    from binpose_ros.images import from_color, from_depth_m
    from binpose_ros.message_types import ros_types
    from binpose_ros.stamps import Header

    headless, types = Header(0, ""), ros_types()
    found = kind()
    found.info.header.frame_id = name
    found.info.k = view.frame.camera.K.ravel()
    found.rgb = from_color(view.frame.gray, headless, types)
    found.rgb.encoding = "8UC1"
    found.depth = from_depth_m(np.round(view.frame.depth_m / UNIT_M).astype(np.float32), headless, types)
    found.pose = pose_message(T)
    return found


def pose_message(T: Any) -> Any:
    """T_cam_world in millimetres."""
    from geometry_msgs.msg import Point, Pose, Quaternion

    from binpose_core.geometry.transforms import quat_xyzw_from_rotation

    x, y, z, w = quat_xyzw_from_rotation(T[:3, :3]).tolist()
    px, py, pz = (1e3 * T[:3, 3]).tolist()
    return Pose(position=Point(x=px, y=py, z=pz), orientation=Quaternion(x=x, y=y, z=z, w=w))


def as_sent(view: Any) -> Any:
    """A view's frame with the depth of the message."""
    from binpose_core.frames.rgbd_frame import RgbdFrame

    depth_m = np.round(view.frame.depth_m / UNIT_M).astype(np.float32) * np.float32(UNIT_M)
    return RgbdFrame(view.frame.gray, depth_m, view.frame.camera)


def expected(view: Any, bundle: Any) -> list[tuple[str, float, Any]]:
    """Part, score and T_world_obj of the library's poses in one view."""
    from binpose_core.geometry.transforms import inverse

    T_world_cam = inverse(view.T_cam_world)
    return [(p.object_id, p.score, T_world_cam @ p.T_cam_obj) for p in bundle.pipeline(as_sent(view))]


def received(response: Any, bundle: Any, first: str) -> Any:
    from binpose_ros.poses import to_matrix

    names = {part.bop_id: part.id for part in bundle.objects.values()} | {OTHER_NUMBER: first}
    found = []
    for estimate in response.pose_estimates:
        T = to_matrix(estimate.pose)
        T[:3, 3] /= 1e3
        found.append((names[estimate.obj_id], estimate.score, T))
    return found


@pytest.fixture(scope="module")
def live(graph: Any, request_: Any, bundle: Any) -> Any:
    """The node alone: no camera sends anything."""
    first = next(iter(bundle.objects))
    graph.start("bin_picking", **{"challenge.object_ids": [f"{first}={OTHER_NUMBER}"], "challenge.all_cameras": False})
    graph.wait(lambda: graph.status("bin_picking").get("state") == "active", "the active node")
    return graph


def ask(live: Any, request_: Any, object_ids: Any) -> Any:
    from ibpc_interfaces.srv import GetPoseEstimates

    return live.call(
        SERVICE, GetPoseEstimates, object_ids=object_ids, cameras=request_.cameras, photoneo=request_.photoneo
    )


def test_the_answer_is_what_the_library_finds_with_the_photoneo(
    live: Any, request_: Any, views: list[Any], bundle: Any
) -> None:
    theirs = expected(views[3], bundle)
    assert sum(score > 0.5 for _, score, _ in theirs) >= 3
    answer = ask(live, request_, every_number(bundle))
    assert_same_parts(received(answer, bundle, next(iter(bundle.objects))), theirs)


def test_only_parts_that_are_asked_for_are_answered(live: Any, request_: Any, views: list[Any], bundle: Any) -> None:
    first = next(iter(bundle.objects))
    theirs = expected(views[3], bundle)
    name = next(n for n, *_ in theirs if n != first)  # the surest
    answer = ask(live, request_, [bundle.objects[name].bop_id, 777])
    assert_same_parts(received(answer, bundle, first), [entry for entry in theirs if entry[0] == name])
    assert "777" in live.log("bin_picking")
    assert not ask(live, request_, [777]).pose_estimates
    assert not ask(live, request_, []).pose_estimates


def test_another_camera_is_used_when_it_is_named(live: Any, request_: Any, views: list[Any], bundle: Any) -> None:
    first = next(iter(bundle.objects))
    numbers = [part.bop_id for part in bundle.objects.values() if part.id != first] + [OTHER_NUMBER]
    (set_,) = set_parameter(live, "challenge.camera", "cam2")
    assert set_.successful
    assert_same_parts(received(ask(live, request_, numbers), bundle, first), expected(views[1], bundle))
    set_parameter(live, "challenge.camera", "cam9")
    assert not ask(live, request_, numbers).pose_estimates
    assert "'cam9'" in live.log("bin_picking")


def every_number(bundle: Any) -> list[int]:
    return [OTHER_NUMBER, *(part.bop_id for part in list(bundle.objects.values())[1:])]


@pytest.fixture
def all_cameras(live: Any) -> Any:
    set_parameter(live, "challenge.camera", "")
    set_parameter(live, "challenge.all_cameras", True)
    yield
    set_parameter(live, "challenge.all_cameras", False)


def test_all_cameras_together_give_the_joint_poses_of_the_library(
    live: Any, request_: Any, views: list[Any], bundle: Any, all_cameras: None
) -> None:
    from binpose_core.frames.camera_view import CameraView
    from binpose_core.geometry.transforms import inverse
    from binpose_pipeline.scene.scene_estimator import SceneEstimator

    ordered = [views[3], *views[:3]]
    joint = SceneEstimator(bundle.objects, bundle.pipeline)(
        [CameraView(as_sent(view), inverse(view.T_cam_world)) for view in ordered]
    )
    assert joint.together == (0, 1, 2, 3)
    answer = received(ask(live, request_, every_number(bundle)), bundle, next(iter(bundle.objects)))
    assert_same_parts(answer, [(pose.object_id, pose.score, pose.T_world_obj) for pose in joint.poses])
    assert "The camera poses agree within" in live.log("bin_picking")


def test_cameras_that_contradict_each_other_lose_no_sure_part_of_the_first(
    live: Any, request_: Any, views: list[Any], bundle: Any, all_cameras: None
) -> None:
    """The other cameras' poses are wrong by 8 cm; what the Photoneo is sure of is in the answer, at its place."""
    moved = deepcopy(request_)
    for number, camera in enumerate(moved.cameras):
        T = views[number].T_cam_world.copy()
        T[:3, 3] += 0.08 * np.eye(3)[number]
        camera.pose = pose_message(T)
    answer = received(ask(live, moved, every_number(bundle)), bundle, next(iter(bundle.objects)))
    sure = [entry for entry in expected(views[3], bundle) if entry[1] >= 0.9]
    assert sure and "is used alone" in live.log("bin_picking")
    for name, score, T in sure:
        near = [s for n, s, U in answer if n == name and np.abs(T[:3, 3] - U[:3, 3]).max() < 1e-3]
        assert near and abs(max(near) - score) < 0.1, f"{name} with a score of {score:.2f}"


def set_parameter(live: Any, name: str, value: Any) -> Any:
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    message = Parameter(name, value=value).to_parameter_msg()
    return live.call("/bin_picking/set_parameters", SetParameters, parameters=[message]).results
