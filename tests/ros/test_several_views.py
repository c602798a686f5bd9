"""Goals with several views: what is refused, and the poses of three views of a camera on a wrist."""

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench import Workbench
from live_graph import MODEL
from live_messages import assert_same_parts, poses_of, send_info_until_received
from plain_frames import box_on_table

from binpose_core.base.reasons import Reason
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, inverse

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

PERIOD_S = 0.4
SETTLING_S = 0.3
"""After a jump of the simulated camera, before its next image."""
T_BASE_WORLD = from_rotation_translation(exp_so3(np.array([0.0, 0.0, 0.7])), np.array([0.5, -0.1, 0.2]))


# --- A node in this process, whose frames are made by hand ------------------------------------------------------------


class Goal:
    """A goal that is aborted, cancelled or succeeds."""

    def __init__(self, views: int = 3, when_still: bool = False) -> None:
        self.is_cancel_requested, self.outcome = False, ""
        self.stages: list[str] = []
        self.request = SimpleNamespace(min_score=0.0, object_ids=[], views=views, when_still=when_still)

    def publish_feedback(self, feedback: Any) -> None:
        self.stages.append(feedback.stage)

    def abort(self) -> None:
        self.outcome = "aborted"

    def canceled(self) -> None:
        self.outcome = "cancelled"

    def succeed(self) -> None:
        self.outcome = "succeeded"


class Wrist:
    """A camera whose frames and transforms reach the node without a graph."""

    def __init__(self, node: Any) -> None:
        self.node, self.at, self.speed_m_s, self.connected = node, np.zeros(3), 0.0, True
        self.reason = Reason.OK
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5)

    def _run(self) -> None:
        from binpose_ros.estimate_action import FrameResult
        from binpose_ros.outcome import Outcome
        from binpose_ros.stamps import Header

        frame, version = replace(box_on_table(), frame_id="camera"), self.node.models.find().version
        while not self._ended.wait(0.05):
            now_ns = self.node.get_clock().now().nanoseconds
            self.at = self.at + np.array([0.05 * self.speed_m_s, 0.0, 0.0])
            if self.connected:
                T = from_rotation_translation(np.eye(3), self.at)
                with self.node.transforms._changed:
                    self.node.transforms._buffer.put("base", "camera", now_ns, T)
            outcome = Outcome(self.reason, "The sentence.", version=version)
            self.node.action.put(FrameResult(Header(now_ns, "camera"), outcome, frame=frame, result=self.at.copy()))


@pytest.fixture
def node(bench: Workbench, monkeypatch: Any) -> Any:
    """An active node; a goal's views are recorded in place of being joined."""
    from binpose.node import PipelineNode
    from binpose_ros.several_views import JoinedViews

    monkeypatch.setattr("binpose_ros.several_views.ATTEMPT_S", 1.0)
    made = bench(PipelineNode, model=str(MODEL), watch_s=0.0)
    made.trigger_configure()
    made.trigger_activate()
    made.joined = []

    def join(taken: Any) -> Any:
        made.joined.append(taken)
        count = len(taken)
        return JoinedViews([], [v.T_world_cam for v in taken], [0.0] * count, [True] * count, ["They agree."])

    monkeypatch.setattr(made.action, "_join", join)
    return made


@pytest.fixture
def wrist(node: Any) -> Any:
    made = Wrist(node)
    yield made
    made.close()


class Waiting:
    """A goal that the node works on in another thread."""

    def __init__(self, node: Any, goal: Goal) -> None:
        self.node, self.goal = node, goal
        self.answers: list[Any] = []
        self._thread = threading.Thread(target=lambda: self.answers.append(node.action._execute(goal)), daemon=True)
        self._thread.start()

    def until(self, stage: str) -> None:
        end = time.monotonic() + 20
        while stage not in self.goal.stages:
            assert time.monotonic() < end and not self.answers, (self.goal.stages, self.answers)
            time.sleep(0.01)

    def answer(self) -> Any:
        self._thread.join(20)
        return self.answers[0]


def next_view(node: Any) -> Any:
    return node.action._collector._serve(None, SimpleNamespace(success=False, message=""))


def test_each_view_is_taken_on_its_request_where_the_camera_is_then(node: Any, wrist: Wrist) -> None:
    goal = Goal()
    waiting = Waiting(node, goal)
    for number in (2, 3):
        waiting.until(f"waiting for view {number} of 3")
        same = next_view(node)
        assert not same.success and f"View {number} of 3 was not taken" in same.message and "move it" in same.message
        wrist.at = np.array([0.1 * number, 0.0, 0.0])
        taken = next_view(node)
        assert taken.success and f"View {number} of 3 is taken" in taken.message, taken.message
    answer = waiting.answer()
    assert goal.outcome == "succeeded" and answer.success and answer.verdict == "They agree."
    ((first, second, third),) = node.joined
    np.testing.assert_allclose([v.T_world_cam[0, 3] for v in (first, second, third)], [0.0, 0.2, 0.3], atol=1e-9)
    assert [v.result[0] for v in (first, second, third)] == pytest.approx([0.0, 0.2, 0.3])
    assert answer.poses.header.frame_id == "base" and len(answer.view_results) == 3


def test_views_are_taken_by_themselves_only_when_the_camera_stands_still_elsewhere(node: Any, wrist: Wrist) -> None:
    goal = Goal(views=2, when_still=True)
    waiting = Waiting(node, goal)
    waiting.until("waiting for view 2 of 2")
    time.sleep(0.5)
    assert not node.joined
    wrist.speed_m_s = 0.2
    time.sleep(1.0)
    assert not node.joined
    wrist.speed_m_s = 0.0
    assert waiting.answer().success
    ((_, second),) = node.joined
    assert second.T_world_cam[0, 3] == pytest.approx(wrist.at[0], abs=1e-3)


def test_a_camera_that_moves_or_has_no_transform_has_its_sentence(node: Any, wrist: Wrist) -> None:
    waiting = Waiting(node, Goal(views=2))
    waiting.until("waiting for view 2 of 2")
    wrist.speed_m_s = 0.2
    moving = next_view(node)
    assert not moving.success and "expected it at rest" in moving.message
    wrist.speed_m_s, wrist.connected = 0.0, False
    lost = next_view(node)
    assert not lost.success and "No transform from 'camera' to 'base'" in lost.message
    wrist.connected, wrist.reason = True, Reason.NO_DEPTH
    failed = next_view(node)
    assert not failed.success and "The sentence." in failed.message
    wrist.reason = Reason.NO_PARTS  # an empty view is a view
    assert next_view(node).success and waiting.answer().success


def test_without_a_transform_the_goal_ends_and_single_images_are_answered(node: Any, wrist: Wrist) -> None:
    wrist.connected = False
    with node.transforms._changed:
        node.transforms._buffer._links.clear()
    goal = Goal()
    answer = node.action._execute(goal)
    assert goal.outcome == "aborted" and answer.code == "TF_MISSING" and "'camera'" in answer.message
    assert node.action._execute(single := Goal(views=0)).success and single.outcome == "succeeded"


def test_a_view_that_nobody_asks_for_ends_the_goal(node: Any, wrist: Wrist) -> None:
    from rclpy.parameter import Parameter

    node.set_parameters([Parameter("views.patience_s", value=0.5)])
    for when_still, words in ((False, "was not asked for in 0.5 s"), (True, "move it")):
        answer = node.action._execute(Goal(when_still=when_still))
        assert (answer.success, answer.code) == (False, "SAME_VIEW") and words in answer.message


def test_what_cannot_be_answered_is_refused_at_once(node: Any, wrist: Wrist, bench: Workbench) -> None:
    from binpose_refinement.node import RefinementNode

    answer = node.action._execute(Goal(views=17))
    assert answer.code == "BAD_REQUEST" and "at most 16" in answer.message
    assert "No goal waits for a view" in next_view(node).message
    waiting = Waiting(node, goal := Goal())
    waiting.until("waiting for view 2 of 3")
    assert node.action._execute(Goal()).code == "BUSY"
    goal.is_cancel_requested = True
    assert waiting.answer().code == "CANCELLED" and goal.outcome == "cancelled"
    other = bench(RefinementNode, model=str(MODEL), watch_s=0.0)
    other.trigger_configure()
    other.trigger_activate()
    answer = other.action._execute(Goal())
    assert answer.code == "BAD_REQUEST" and "only the node bin_picking" in answer.message


# --- The live graph ----------------------------------------------------------------------------------------------


class WristCamera:
    """Publishes images of a simulated bin from one of several places, and where the camera is, on /tf."""

    def __init__(self, graph: Any) -> None:
        from sensor_msgs.msg import CameraInfo, Image
        from tf2_msgs.msg import TFMessage

        from binpose_core.learning.model_store import ModelStore
        from binpose_core.learning.stored_parts import stored_objects
        from binpose_ros.message_types import ros_types
        from binpose_simulation.node import CameraSettings, simulate_views

        self.objects, self.types = stored_objects(ModelStore(MODEL).load()), ros_types()
        settings = CameraSettings(views=3, parts=6)
        self.views = simulate_views(self.objects, settings, 9)
        self.others = simulate_views(self.objects, settings, 8)
        node = graph.node
        self.transforms = node.create_publisher(TFMessage, "/tf", 10)
        self.info = node.create_publisher(CameraInfo, "/color/camera_info", 10)
        self.color = node.create_publisher(Image, "/color/image_raw", 10)
        self.depth = node.create_publisher(Image, "/aligned_depth_to_color/image_raw", 10)
        self._shown: Any = None
        self.show(self.views[0])
        node.create_timer(0.05, self.send_transform)

    def show(self, view: Any, error_m: Any = (0.0, 0.0, 0.0)) -> None:
        """Stand at a view's place from now on; transforms are off by an error."""
        self._shown, self._arrived = (view, np.asarray(error_m)), time.monotonic() + SETTLING_S

    @property
    def T_base_cam(self) -> np.ndarray:
        view, error_m = self._shown
        T = T_BASE_WORLD @ inverse(view.T_cam_world)
        T[:3, 3] += error_m
        return T

    def send_info(self) -> None:
        from binpose_ros.frames import from_camera

        self.info.publish(from_camera(self._shown[0].frame.camera, self._header(), self.types))

    def send_transform(self) -> None:
        from geometry_msgs.msg import TransformStamped
        from tf2_msgs.msg import TFMessage

        from binpose_ros.poses import from_matrix
        from binpose_ros.stamps import to_header

        place, header = from_matrix(self.T_base_cam, self.types), self._header()
        entry = TransformStamped(
            header=to_header(header._replace(frame_id="base"), self.types), child_frame_id="camera"
        )
        entry.transform.rotation = place.orientation
        for axis in "xyz":
            setattr(entry.transform.translation, axis, getattr(place.position, axis))
        self.transforms.publish(TFMessage(transforms=[entry]))

    def send_images(self) -> None:
        from binpose_ros.images import from_color, from_depth_m

        if time.monotonic() < self._arrived:  # an image between two transforms would get a pose between two places
            return
        frame, header = self._shown[0].frame, self._header()
        self.send_info()
        self.color.publish(from_color(frame.color, header, self.types))
        self.depth.publish(from_depth_m(frame.depth_m, header, self.types))

    def _header(self) -> Any:
        from binpose_ros.stamps import Header

        return Header(time.time_ns(), "camera")


@pytest.fixture(scope="module")
def live(graph: Any) -> Any:
    """The composed node, and a camera that sends images until the tests end."""
    graph.start("bin_picking")
    graph.camera = camera = WristCamera(graph)
    graph.wait(lambda: graph.status("bin_picking").get("state") == "active", "the node", 300)
    send_info_until_received(graph, "bin_picking", camera.send_info)
    graph.node.create_timer(PERIOD_S, camera.send_images)
    return graph


class LiveGoal:
    """A goal that was accepted."""

    def __init__(self, live: Any, **fields: Any) -> None:
        from binpose_interfaces.action import EstimatePoses
        from rclpy.action import ActionClient

        self._live, self._client = live, ActionClient(live.node, EstimatePoses, "/bin_picking/estimate_poses")
        self.views: list[int] = []
        live.wait(self._client.server_is_ready, "the action")
        goal = EstimatePoses.Goal(**fields)
        self._handle = live.asked(
            lambda: self._client.send_goal_async(goal, lambda m: self.views.append(m.feedback.view)), "the acceptance"
        )

    def wait_for(self, view: int) -> None:
        self._live.wait(lambda: view in self.views, f"view {view}")

    def cancel(self) -> None:
        self._live.asked(self._handle.cancel_goal_async, "the cancellation")

    def result(self) -> Any:
        result = self._live.asked(self._handle.get_result_async, "the result").result
        self._client.destroy()
        return result


def collected(live: Any, shown: list[Any]) -> Any:
    """The result of a goal whose views are taken at these places, each (view, error)."""
    from std_srvs.srv import Trigger

    live.camera.show(*shown[0])
    time.sleep(0.5)
    goal = LiveGoal(live, views=len(shown))
    for number, place in enumerate(shown[1:], start=2):
        goal.wait_for(number)
        live.camera.show(*place)
        response = live.call("/bin_picking/next_view", Trigger)
        if not response.success:
            goal.cancel()
            raise AssertionError(response.message)
    return goal.result()


def parts_in(result: Any) -> list[Any]:
    return [(pose.object_id, pose.score, pose.T_cam_obj) for pose in poses_of(result.poses)]


def library(shown: list[Any]) -> Any:
    """The library's joint result of the same views."""
    from binpose_core.frames.camera_view import CameraView
    from binpose_pipeline.bundle import load_bundle
    from binpose_pipeline.scene.scene_estimator import SceneEstimator

    bundle, views = load_bundle(MODEL), []
    for view, error_m in shown:
        T = T_BASE_WORLD @ inverse(view.T_cam_world)
        T[:3, 3] += error_m
        views.append(CameraView(view.frame, T))
    return SceneEstimator(bundle.objects, bundle.pipeline)(views)


def test_three_views_give_the_joint_poses_of_the_library_in_the_robots_base(live: Any) -> None:
    shown = [(view, np.zeros(3)) for view in live.camera.views]
    result, expected = collected(live, shown), library(shown)
    assert result.success and result.code == "OK" and result.poses.header.frame_id == "base"
    assert_same_parts(
        parts_in(result), [(p.object_id, p.score, p.T_world_obj) for p in expected.poses if p.score >= 0.5]
    )
    assert "agree within" in result.verdict
    assert [view.together for view in result.view_results] == [True] * 3
    assert max(view.residual for view in result.view_results) < 0.002


def test_a_hand_eye_error_is_noticed_in_millimetres(live: Any) -> None:
    error_m = np.array([0.0, 0.008, 0.0])
    first, second, third = live.camera.views
    result = collected(live, [(first, 0 * error_m), (second, error_m), (third, 0 * error_m)])
    assert result.success and "a hand-eye error" in result.verdict
    assert result.view_results[1].residual == pytest.approx(0.008, abs=0.002)
    assert result.view_results[0].residual < 0.002 and result.view_results[2].residual < 0.002


def test_another_bin_is_one_sentence_and_the_newest_view_stands(live: Any) -> None:
    none = np.zeros(3)
    shown = [(live.camera.views[0], none), (live.camera.others[1], none)]
    result, expected = collected(live, shown), library(shown)
    assert expected.together == ()
    assert result.success and result.code == "VIEWS_DIFFER" and "another bin" in result.message
    T_base_cam = T_BASE_WORLD @ inverse(live.camera.others[1].T_cam_world)
    alone = [(p.object_id, p.score, T_base_cam @ p.T_cam_obj) for p in expected.results[1].poses if p.score >= 0.5]
    assert_same_parts(parts_in(result), alone)


def test_a_camera_that_stands_still_needs_no_request(live: Any) -> None:
    live.camera.show(live.camera.views[0])
    time.sleep(1.0)  # the first view is taken at once: no image from before the jump may be left
    goal = LiveGoal(live, views=2, when_still=True)
    goal.wait_for(2)
    live.camera.show(live.camera.views[1])
    result = goal.result()
    assert result.success and result.code == "OK" and len(result.view_results) == 2
    assert result.poses.detections
