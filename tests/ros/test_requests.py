"""What a client of `~/estimate_poses` is told when there is no pose, or when too many ask at once."""

import math
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from bench import Workbench
from live_graph import MODEL

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")


class Goal:
    """A goal that is aborted, cancelled or succeeds."""

    def __init__(self, *object_ids: str, min_score: float = 0.0) -> None:
        self.is_cancel_requested = False
        self.outcome = ""
        self.request = SimpleNamespace(min_score=min_score, object_ids=list(object_ids))

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
    threads = [threading.Thread(target=node._action._execute, args=(goal,), daemon=True) for goal in goals]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 10
    while node._action._waiting < len(goals):
        assert time.monotonic() < end
        time.sleep(0.01)
    return threads


def test_requests_leave_threads_for_the_services(node: Any) -> None:
    goals = [Goal(), Goal()]
    threads = asked(node, goals)
    third = Goal()
    answer = node._action._execute(third)
    assert third.outcome == "aborted" and not answer.success and "ask when one is answered" in answer.message
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
    from binpose_ros.stamps import Header
    from binpose_ros.vision_arrays import write_array

    node.monitor.failed("What the frame before was told.")
    assert node.process({POSES.topic: write_array(Header(1_000_000_000, "camera"), ())}) == NO_POSE
    assert node._action._newest.reason == NO_POSE


def test_a_request_that_no_frame_can_answer_is_refused_at_once(node: Any) -> None:
    known = next(iter(node.models.find("").objects))
    for goal, reason in (
        (Goal(known, "nonsense"), "object_ids names nonsense; expected some of"),
        (Goal(min_score=math.nan), "min_score is NaN"),
    ):
        answer = node._action._execute(goal)
        assert goal.outcome == "aborted" and not answer.success and reason in answer.message


def test_only_an_active_node_takes_requests(node: Any) -> None:
    goal = Goal()
    (thread,) = asked(node, [goal])
    node.trigger_deactivate()
    thread.join(10)
    assert goal.outcome == "aborted"
    goal = Goal()
    answer = node._action._execute(goal)
    assert goal.outcome == "aborted" and "The node is inactive; expected active" in answer.message
