"""The bin-picking challenge's service, called as its tester calls it: the library's poses, in its units and frame."""

import importlib.util
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

    cameras = [message(view, f"cam{n}", Camera) for n, view in enumerate(views[:3], start=1)]
    for camera in cameras:
        camera.aolp = camera.dolp = camera.rgb
    return GetPoseEstimates.Request(cameras=cameras, photoneo=message(views[3], "photoneo", Photoneo))


def message(view: Any, name: str, kind: Any) -> Any:
    from geometry_msgs.msg import Point, Pose, Quaternion

    from binpose_core.geometry.transforms import quat_xyzw_from_rotation
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
    T = T_cam_world(name)
    x, y, z, w = quat_xyzw_from_rotation(T[:3, :3]).tolist()
    px, py, pz = (1e3 * T[:3, 3]).tolist()
    found.pose = Pose(position=Point(x=px, y=py, z=pz), orientation=Quaternion(x=x, y=y, z=z, w=w))
    return found


def T_cam_world(name: str) -> Any:
    from binpose_core.geometry.transforms import exp_so3, from_rotation_translation

    rng = np.random.default_rng(list(name.encode()))
    return from_rotation_translation(exp_so3(rng.normal(size=3)), rng.normal(size=3))


def expected(view: Any, name: str, bundle: Any) -> list[tuple[str, float, Any]]:
    """Part, score and T_world_obj of the library's poses."""
    from binpose_core.frames.rgbd_frame import RgbdFrame
    from binpose_core.geometry.transforms import inverse

    depth_m = np.round(view.frame.depth_m / UNIT_M).astype(np.float32) * np.float32(UNIT_M)
    poses = bundle.pipeline(RgbdFrame(view.frame.gray, depth_m, view.frame.camera))
    return [(pose.object_id, pose.score, inverse(T_cam_world(name)) @ pose.T_cam_obj) for pose in poses]


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
    graph.start("bin_picking", **{"challenge.object_ids": [f"{first}={OTHER_NUMBER}"]})
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
    first, *others = bundle.objects
    numbers = [OTHER_NUMBER, *(bundle.objects[name].bop_id for name in others)]
    theirs = expected(views[3], "photoneo", bundle)
    assert sum(score > 0.5 for _, score, _ in theirs) >= 3
    assert_same_parts(received(ask(live, request_, numbers), bundle, first), theirs)


def test_only_parts_that_are_asked_for_are_answered(live: Any, request_: Any, views: list[Any], bundle: Any) -> None:
    first = next(iter(bundle.objects))
    theirs = expected(views[3], "photoneo", bundle)
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
    assert_same_parts(received(ask(live, request_, numbers), bundle, first), expected(views[1], "cam2", bundle))
    set_parameter(live, "challenge.camera", "cam9")
    assert not ask(live, request_, numbers).pose_estimates
    assert "'cam9'" in live.log("bin_picking")


def set_parameter(live: Any, name: str, value: Any) -> Any:
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    message = Parameter(name, value=value).to_parameter_msg()
    return live.call("/bin_picking/set_parameters", SetParameters, parameters=[message]).results
