"""What a client of `~/estimate_poses` is told when there is no pose, or when too many ask at once."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from bench import Workbench

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")


class Goal:
    """A goal that is aborted, cancelled or succeeds."""

    def __init__(self) -> None:
        self.is_cancel_requested = False
        self.outcome = ""
        self.request = SimpleNamespace(min_score=0.0, object_ids=[])

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

    return bench(RefinementNode, watch_s=0.0)


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

    node.open_outputs()
    node.monitor.failed("What the frame before was told.")
    assert node.process({POSES.topic: write_array(Header(1_000_000_000, "camera"), ())}) == NO_POSE
    assert node._action._newest.reason == NO_POSE
