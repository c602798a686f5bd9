"""The answers of `~/estimate_poses` when a frame fails, when there is no pose, or when too many ask at once."""

import math
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench import Workbench
from live_graph import MODEL

from binpose_core.base.reasons import Reason

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")


class Goal:
    """A goal that is aborted, cancelled or succeeds."""

    def __init__(self, *object_ids: str, min_score: float = 0.0) -> None:
        self.is_cancel_requested = False
        self.outcome = ""
        self.request = SimpleNamespace(min_score=min_score, object_ids=list(object_ids), views=0, when_still=False)

    def publish_feedback(self, feedback: Any) -> None: ...

    def abort(self) -> None:
        self.outcome = "aborted"

    def canceled(self) -> None:
        self.outcome = "cancelled"

    def succeed(self) -> None:
        self.outcome = "succeeded"


@pytest.fixture
def node(bench: Workbench) -> Any:
    from binpose_refinement.node import RefinementNode

    made = bench(RefinementNode, model=str(MODEL), watch_s=0.0)
    made.trigger_configure()
    made.trigger_activate()
    return made


def asked(node: Any, goals: list[Goal]) -> list[threading.Thread]:
    """The requests, once all of them wait for an image."""
    threads = [threading.Thread(target=node.action._execute, args=(goal,), daemon=True) for goal in goals]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 10
    while node.action._waiting < len(goals):
        assert time.monotonic() < end
        time.sleep(0.01)
    return threads


def test_requests_leave_threads_for_the_services(node: Any) -> None:
    goals = [Goal(), Goal()]
    threads = asked(node, goals)
    third = Goal()
    answer = node.action._execute(third)
    assert third.outcome == "aborted" and not answer.success and "send the goal again" in answer.message
    assert answer.code == "BUSY"
    for goal in goals:
        goal.is_cancel_requested = True
    for thread in threads:
        thread.join(10)
    assert [goal.outcome for goal in goals] == ["cancelled", "cancelled"]
    (thread,) = asked(node, [again := Goal()])  # There is room again.
    again.is_cancel_requested = True
    thread.join(10)
    assert again.outcome == "cancelled"


def test_an_empty_frame_is_answered_with_its_own_reason(node: Any) -> None:
    from binpose_refinement.node import NO_POSE, POSES
    from binpose_ros.outcome import Outcome
    from binpose_ros.stamps import Header
    from binpose_ros.vision_arrays import write_array

    node.monitor.finished(Outcome(Reason.NO_DEPTH, "The reason of the frame before."))
    assert node.process({POSES.topic: write_array(Header(1_000_000_000, "camera"), ())}) == NO_POSE
    assert node.action._newest.outcome == NO_POSE


def test_a_request_that_no_frame_can_answer_is_refused_at_once(node: Any) -> None:
    known = next(iter(node.models.find("").objects))
    for goal, sentence in (
        (Goal(known, "nonsense"), "object_ids names nonsense; expected some of"),
        (Goal(min_score=math.nan), "min_score is NaN"),
    ):
        answer = node.action._execute(goal)
        assert goal.outcome == "aborted" and not answer.success and sentence in answer.message
        assert answer.code == "BAD_REQUEST"


def test_only_an_active_node_takes_requests(node: Any) -> None:
    goal = Goal()
    (thread,) = asked(node, [goal])
    node.trigger_deactivate()
    thread.join(10)
    assert goal.outcome == "aborted"
    goal = Goal()
    answer = node.action._execute(goal)
    assert goal.outcome == "aborted" and "The node is inactive; expected active" in answer.message
    assert answer.code == "NOT_ACTIVE"


def answer_to(node: Any, make_result: Any) -> tuple[Goal, Any]:
    """A goal and its answer, when a frame is finished while it waits."""
    goal, answers = Goal(), []
    thread = threading.Thread(target=lambda: answers.append(node.action._execute(goal)), daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < end:
        make_result()
        time.sleep(0.02)
    thread.join(1)
    return goal, answers[0]


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_ENCODING, Reason.UNCALIBRATED_CAMERA, Reason.TF_MISSING])
def test_a_failure_is_not_an_empty_bin(node: Any, reason: Reason) -> None:
    from binpose_ros.outcome import Outcome
    from binpose_ros.stamps import Header

    def failed() -> None:
        stamp_ns = node.get_clock().now().nanoseconds
        node.publish_empty(Header(stamp_ns, "camera"), Outcome(reason, "The sentence."))

    goal, answer = answer_to(node, failed)
    assert goal.outcome == "aborted"
    assert (answer.success, answer.code, answer.message) == (False, reason.code, "The sentence.")
    assert not answer.poses.detections


@pytest.mark.parametrize("reason", [Reason.NO_PARTS, Reason.BELOW_THRESHOLD])
def test_an_empty_bin_is_no_failure(node: Any, reason: Reason) -> None:
    from binpose_ros.outcome import Outcome
    from binpose_ros.stamps import Header

    def empty() -> None:
        stamp_ns = node.get_clock().now().nanoseconds
        node.publish_empty(Header(stamp_ns, "camera"), Outcome(reason, "The sentence."))

    goal, answer = answer_to(node, empty)
    assert goal.outcome == "succeeded"
    assert (answer.success, answer.code, answer.message) == (True, reason.code, "The sentence.")


def test_poses_that_are_not_reported_are_answered_with_the_reason_of_the_frame(node: Any) -> None:
    from binpose_core.frames.types import PoseEstimate
    from binpose_ros.estimate_action import FrameResult
    from binpose_ros.outcome import Outcome
    from binpose_ros.stamps import Header

    objects = node.models.find("").objects
    poses = [PoseEstimate(next(iter(objects)), np.eye(4), 0.2)]

    def unreported() -> None:
        header = Header(node.get_clock().now().nanoseconds, "camera")
        node.action.put(FrameResult(header, Outcome(Reason.LITTLE_DEPTH, "The sentence.", found=1), poses, objects))

    _, answer = answer_to(node, unreported)
    assert (answer.success, answer.code, answer.message) == (True, "LITTLE_DEPTH", "The sentence.")
    assert not answer.poses.detections


@pytest.mark.parametrize("off_s", [-3600.0, 1e9])
def test_a_camera_of_another_clock_is_answered_at_once(node: Any, off_s: float) -> None:
    """Also when one image alone arrives after the request: it cannot be known whether it was taken after it."""
    start = time.monotonic()

    def arrives() -> None:
        now_ns = node.get_clock().now().nanoseconds
        node.monitor.arrived(now_ns - round(off_s * 1e9), now_ns)

    goal, answer = answer_to(node, arrives)
    assert goal.outcome == "aborted" and time.monotonic() - start < 5
    assert (answer.success, answer.code) == (False, "CLOCK_MISMATCH") and "another clock" not in answer.message
    assert f"{abs(off_s):.0f} s" in answer.message and "use_sim_time" in answer.message


def test_without_a_frame_the_answer_names_the_cause(node: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("binpose_ros.estimate_action.PATIENCE_S", 0.5)
    monkeypatch.setattr("binpose_ros.monitor.SILENT_S", 0.1)
    goal = Goal()
    answer = node.action._execute(goal)
    assert goal.outcome == "aborted" and not answer.success
    assert answer.code == "NO_PUBLISHER" and "has no publisher" in answer.message


def status(reason: Reason, stamp_ns: int) -> Any:
    from binpose_ros.message_types import ros_types
    from binpose_ros.outcome import Outcome, from_outcome
    from binpose_ros.stamps import Header

    return from_outcome(Outcome(reason, "The sentence."), Header(stamp_ns, "camera"), "/pose_estimator", ros_types())


@pytest.mark.parametrize("reason", [Reason.NO_DEPTH, Reason.NO_PARTS])
def test_the_reason_of_the_stage_before_is_that_of_its_empty_array(node: Any, monkeypatch: Any, reason: Reason) -> None:
    from binpose_core.base.errors import BinposeError
    from binpose_refinement.node import POSES
    from binpose_ros.stamps import Header
    from binpose_ros.vision_arrays import write_array

    monkeypatch.setattr(node, "count_publishers", lambda topic: 1)
    node.upstream.outcomes.put(status(reason, 7))
    match = {POSES.topic: write_array(Header(7, "camera"), ())}
    if reason.is_failure:
        with pytest.raises(BinposeError, match="The sentence") as caught:
            node.process(match)
        assert caught.value.reason is reason
    else:
        outcome = node.process(match)
        assert (outcome.reason, outcome.message) == (reason, "The sentence.")
