"""The simulated cell and all stages: an image, its grasps, a pick, its outcome, and the next image."""

from typing import Any

import numpy as np
import pytest
from live_graph import MODEL
from live_messages import poses_of, stamp

FRAME, PART = "camera_color_optical_frame", "bow_handle"
IDENTITY = np.eye(4)
PLANNER = {
    "base_frame": "base",
    "planner.down_frame": "base",
    "planner.down.z": -1.0,
    "planner.tries": 200,
    "planner.enough": 4,
}


@pytest.fixture(scope="module")
def live(graph: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The graph, once the cell has picked once and has taken the next image."""
    from binpose_interfaces.msg import GraspArray, PickOutcome
    from rclpy.qos import QoSDurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection3DArray

    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    graph.truth = graph.listen("/simulated_cell/truth", Detection3DArray)
    graph.grasps = graph.listen("/grasp_publisher/grasps", GraspArray)
    graph.outcomes = graph.listen("/pick_outcomes", PickOutcome)
    graph.static = graph.listen("/tf_static", TFMessage, latched)
    graph.recordings = tmp_path_factory.mktemp("recordings")
    recorder = {"directory": str(graph.recordings), "record": True, "recorder.min_free_gb": 0.0}
    graph.run("self_training", "binpose_self_training.node", recorder)
    leader = ("detection/model_status", "bin_picking/model_status")
    graph.start("simulated_cell", parts=[PART], number=2, rate_hz=2.0, picking=False)
    graph.start("grasp_publisher", leader, **PLANNER)
    graph.start("bin_picking", watch_s=0.0)
    graph.wait(lambda: any(array.grasps for array in list(graph.grasps)), "grasps", 900.0)
    graph.wait(lambda: _records(graph), "a recorded image", 60.0)
    return graph


def test_it_takes_a_part_and_shows_the_bin_without_it(live: Any) -> None:
    from std_srvs.srv import Trigger

    assert not live.outcomes, "it waits for a request"
    before = len(poses_of(live.truth[-1]))
    assert live.call("/simulated_cell/step", Trigger).success
    live.wait(lambda: live.outcomes, "an outcome", 600.0)
    outcome = live.outcomes[0]
    array = next(array for array in list(live.grasps) if stamp(array) == stamp(outcome))
    assert outcome.grasp in array.grasps and outcome.header == array.header
    assert outcome.success and outcome.end == outcome.PLACED and outcome.grasp.object_id == PART
    assert abs(outcome.width - outcome.grasp.width) < 0.01
    live.wait(lambda: 0 < len(poses_of(live.truth[-1])) <= before and _later(live.truth[-1], outcome), "the next image")
    assert len(live.outcomes) == 1, "one step is one try"


def test_the_object_of_the_grasp_stood_where_the_camera_saw_it(live: Any) -> None:
    """The outcome's pose, moved to the camera by the static transforms, is a true pose of the same image."""
    from binpose_core.geometry.transforms import inverse
    from binpose_ros.poses import from_transform, to_matrix

    outcome = live.outcomes[0]
    places = {entry.child_frame_id: from_transform(entry.transform) for entry in live.static[-1].transforms}
    assert set(places) == {FRAME, "bin"} and outcome.header.frame_id == "base"
    T_cam_obj = inverse(places[FRAME]) @ to_matrix(outcome.grasp.object_pose)
    truth = next(array for array in list(live.truth) if stamp(array) == stamp(outcome))
    away = [np.linalg.norm(pose.T_cam_obj[:3, 3] - T_cam_obj[:3, 3]) for pose in poses_of(truth)]
    assert min(away) < 0.01


def test_it_empties_the_bin_and_a_new_one_is_filled_on_request(live: Any) -> None:
    from std_srvs.srv import Trigger

    assert live.call("/simulated_cell/start", Trigger).success
    live.wait(lambda: "are left after" in live.log("simulated_cell"), "the end", 600.0)
    refused = live.call("/simulated_cell/start", Trigger)
    assert not refused.success and "~/reset" in refused.message
    filled = live.call("/simulated_cell/reset", Trigger)
    assert filled.success and "seed 22" in filled.message
    live.wait(lambda: len(poses_of(live.truth[-1])) == 2, "the new bin")


def test_the_recorded_outcomes_belong_to_recorded_frames(live: Any) -> None:
    """The bag says of its frames what the cell published, with the poses in the camera frame."""
    from binpose_core.geometry.transforms import inverse
    from binpose_recording.bag_frames import bag_frames
    from binpose_recording.bag_outcomes import bag_outcomes
    from binpose_ros.poses import from_transform, to_matrix

    live.stop("self_training")
    (bag,) = live.recordings.iterdir()
    found = bag_outcomes(bag_frames(bag).frames)
    picks = [pick for frame in found.outcomes.values() for pick in frame]
    assert not found.notes and len(picks) == len(live.outcomes) >= 1
    places = {entry.child_frame_id: from_transform(entry.transform) for entry in live.static[0].transforms}
    for pick, message in zip(picks, live.outcomes, strict=True):
        assert (pick.object_id, pick.succeeded) == (message.grasp.object_id, message.success)
        T_cam_obj = inverse(places[FRAME]) @ to_matrix(message.grasp.object_pose)
        np.testing.assert_allclose(pick.T_cam_obj, T_cam_obj, atol=1e-6)
        assert pick.details["end"] == message.end and pick.details["width_m"] == message.width


def test_requests_to_a_cell_without_a_bin_are_refused(bench: Any) -> None:
    from types import SimpleNamespace

    from binpose_cell.node import SimulatedCellNode

    node = bench(SimulatedCellNode, autostart=False)
    for request in (node._reset, node._start, node._stop, node._step):
        response = request(None, SimpleNamespace())
        assert not response.success and "unconfigured" in response.message
    assert node.trigger_configure().name == "FAILURE" and "set `model`" in node.logged[-1]


def test_an_offered_drag_moves_a_part_where_there_is_no_grasp(bench: Any) -> None:
    from types import SimpleNamespace

    from binpose_cell.clearing import true_poses
    from binpose_cell.node import DRAGGED, SimulatedCellNode
    from binpose_core.learning.model_store import ModelStore
    from binpose_core.learning.stored_parts import stored_objects
    from binpose_grasping.drags import find_drags
    from binpose_grasping.gripper import GripperConfig
    from binpose_ros.grasp_messages import grasp_array
    from binpose_ros.stamps import Header

    node = bench(SimulatedCellNode, autostart=False, model=str(MODEL), parts=[PART], number=1, picking=False)
    logged: list[str] = []
    node.get_logger = lambda: SimpleNamespace(info=logged.append)
    assert node.trigger_configure().name == "SUCCESS"
    cell, objects, nothing = node._cell, stored_objects(ModelStore(MODEL).load()), np.zeros((0, 3))
    poses, T_base_cam = true_poses(cell.look()), node._places[FRAME]
    T_bin_cam = cell.T_world_cam
    (drag,) = find_drags(poses, objects, cell._filled.planned_bin(), T_bin_cam, GripperConfig(), nothing)
    array = grasp_array(Header(1, "base"), (), "abc", np.eye(4), node.types, [drag.moved(T_base_cam)])
    before = cell.world.centers()[0]
    for _ in range(cell.config.looks):
        node._work(array, "Every grasp was refused.")
    moved = cell.world.centers()[0] - before
    assert cell.drags == 1 and moved @ (T_bin_cam[:3, :3] @ drag.direction) > 0.5 * drag.length_m
    assert logged[-1] == f"{DRAGGED}. Every grasp was refused."


@pytest.fixture
def waiting(bench: Any) -> Any:
    """A node that has published an image with two stamps and waits for the answer."""
    from binpose_cell.node import SimulatedCellNode

    node = bench(SimulatedCellNode, autostart=False, model=str(MODEL), parts=[PART], number=1, picking=False)
    node._stamps = {1, 2}
    return node


def _array(node: Any, stamp_ns: int, frame: str = "base", *grasps: Any) -> Any:
    from binpose_ros.grasp_messages import grasp_array
    from binpose_ros.stamps import Header

    return grasp_array(Header(stamp_ns, frame), grasps, "abc", IDENTITY, node.types)


def _status(node: Any, stamp_ns: int, message: str, success: bool = True, reported: int = 0) -> Any:
    from binpose_ros.stamps import Header, to_header

    header = to_header(Header(stamp_ns, "base"), node.types)
    return node.types.FrameStatus(header=header, message=message, success=success, reported=reported)


def test_an_image_without_grasps_is_answered_by_array_and_reason_in_any_order(waiting: Any) -> None:
    array = _array(waiting, 1)
    for calls in ((waiting._grasps, array), (waiting._status, _status(waiting, 1, "Refused."))), (
        (waiting._status, _status(waiting, 1, "Refused.")), (waiting._grasps, array)
    ):  # fmt: skip
        waiting._arrays.clear()
        waiting._reasons.clear()
        waiting._answer = None
        (first, one), (second, other) = calls
        first(one)
        assert waiting._answer is None
        second(other)
        assert waiting._answer == (array, "Refused.")


def test_array_and_reason_are_of_one_image(waiting: Any) -> None:
    waiting._grasps(_array(waiting, 1))
    waiting._status(_status(waiting, 1, "TF_MISSING", success=False))
    waiting._status(_status(waiting, 2, "Refused."))
    assert waiting._answer is None, "the array is that of the frame that failed"
    later = _array(waiting, 2)
    waiting._grasps(later)
    assert waiting._answer == (later, "Refused.")


def test_an_image_of_before_is_no_answer(waiting: Any) -> None:
    waiting._status(_status(waiting, 3, "Refused."))
    waiting._grasps(_array(waiting, 3))
    assert waiting._answer is None


def test_an_empty_array_needs_no_known_frame(waiting: Any) -> None:
    assert waiting._in_camera(_array(waiting, 1, "elsewhere")) == ([], [])


def test_a_stop_during_a_drag_ends_the_work(waiting: Any) -> None:
    from types import SimpleNamespace

    def take(*_: Any) -> None:
        waiting._wanted, waiting._requests = 0.0, waiting._requests + 1  # what ~/stop does

    waiting._cell = SimpleNamespace(take=take, drags=0, end="")
    waiting._wanted = 1.0
    waiting._work(_array(waiting, 1), "Refused.")
    assert waiting._wanted == 0.0
    waiting._cell.take = lambda *_: None
    waiting._wanted = 1.0
    waiting._work(_array(waiting, 1), "Refused.")
    assert waiting._wanted == 1.0, "an image without a grasp is no try"


def _records(graph: Any) -> bool:
    """Whether the bag holds an image, and outcomes are recorded from now on."""
    readers = {reader.node_name for reader in graph.node.get_subscriptions_info_by_topic("/pick_outcomes")}
    return "self_training" in readers and int(graph.status("self_training").get("keyframes") or 0) > 0


def _later(message: Any, other: Any) -> bool:
    return bool(stamp(message) > stamp(other))
