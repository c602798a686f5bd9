"""Grasps for MoveIt: what a message says, and what the action sends, without MoveIt by stand-ins for its messages."""

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Grasp
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_ros import grasp_action
from binpose_ros.grasp_action import ABSENT, GraspAction
from binpose_ros.grasp_messages import GraspResult, GraspService
from binpose_ros.moveit_grasps import Fingers, MoveItTypes, moveit_grasp, moveit_types
from binpose_ros.poses import to_matrix
from binpose_ros.stamps import Header

FINGERS = Fingers(("left", "right"), 0.003)
MOVEIT = MoveItTypes(*[SimpleNamespace] * 5)


def grasp(rng: np.random.Generator, name: str, score: float) -> Grasp:
    T = from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    before, after = T.copy(), T.copy()
    before[:3, 3] -= 0.08 * T[:3, 2]
    after[:3, 3] += [0, 0, 0.1]
    return Grasp(name, T, 0.02, score, before, after, 4)


@pytest.fixture
def grasps(rng: np.random.Generator) -> list[Grasp]:
    return [grasp(rng, "cog", 0.9), grasp(rng, "nut", 0.6), grasp(rng, "cog", 0.3)]


def test_a_moveit_grasp_has_the_path_and_the_fingers_of_the_grasp(
    grasps: list[Grasp], header: Header, types: Any, rng: np.random.Generator
) -> None:
    one, T_tcp_hand = grasps[0], from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    message = moveit_grasp(header, one, 7, T_tcp_hand, FINGERS, types, MOVEIT)
    assert (message.id, message.grasp_quality, message.allowed_touch_objects) == ("cog_4_7", 0.9, ["cog"])
    np.testing.assert_allclose(to_matrix(message.grasp_pose.pose), one.T_cam_hand @ T_tcp_hand, atol=1e-9)
    way = message.pre_grasp_approach
    vector = way.direction.vector
    np.testing.assert_allclose([vector.x, vector.y, vector.z], one.T_cam_hand[:3, 2], atol=1e-9)
    assert way.desired_distance == pytest.approx(0.08) and message.post_grasp_retreat.desired_distance == (
        pytest.approx(0.1)
    )
    opened, closed = message.pre_grasp_posture, message.grasp_posture
    assert opened.joint_names == ["left", "right"]
    np.testing.assert_allclose(opened.points[0].positions, 0.013)
    np.testing.assert_allclose(closed.points[0].positions, 0.01)


class Node:
    """It has settings, is active, and offers services and actions."""

    def __init__(self, types: Any) -> None:
        self.types, self.active = types, True
        self.log: list[str] = []
        gripper = SimpleNamespace(clearance_m=0.003)
        self.settings = SimpleNamespace(finger_joints=("a", "b"), planner=SimpleNamespace(gripper=gripper))

    def create_service(self, kind: Any, name: str, callback: Any) -> None: ...

    def get_logger(self) -> Any:
        return SimpleNamespace(info=self.log.append)

    def expect_active(self) -> None:
        if not self.active:
            raise BinposeError("The node is inactive.")


class Goal:
    """A goal of the action."""

    def __init__(self, *object_ids: str, most: int = 0, timeout: float = 0.0, cancel_after: int = 10**6) -> None:
        self.request = SimpleNamespace(object_ids=list(object_ids), max_grasps=most, timeout=timeout)
        self.sent: list[Any] = []
        self.state, self._cancel_after = "", cancel_after

    @property
    def is_cancel_requested(self) -> bool:
        return len(self.sent) >= self._cancel_after

    def publish_feedback(self, feedback: Any) -> None:
        self.sent.append(feedback)

    def succeed(self) -> None:
        self.state = "succeeded"

    def abort(self) -> None:
        self.state = "aborted"

    def canceled(self) -> None:
        self.state = "canceled"


@pytest.fixture
def offered(types: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Node, GraspService, GraspAction]:
    """The action where MoveIt's messages are installed."""
    kind = SimpleNamespace(Result=SimpleNamespace, Feedback=SimpleNamespace)
    stand_ins: dict[str, dict[str, Any]] = {
        "binpose_interfaces": {},
        "binpose_interfaces.srv": {"GetGrasps": object},
        "binpose_interfaces.action": {"StreamGrasps": kind},
        "rclpy": {},
        "rclpy.action": {"ActionServer": lambda *a, **k: None, "CancelResponse": object},
        "rclpy.callback_groups": {"ReentrantCallbackGroup": object},
    }
    for name, values in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(grasp_action, "moveit_types", lambda: MOVEIT)
    node = Node(types)
    service = GraspService(node)
    return node, service, GraspAction(node, service)


def test_grasps_are_streamed_best_first(
    offered: tuple[Node, GraspService, GraspAction], grasps: list[Grasp], header: Header
) -> None:
    _, service, action = offered
    service.put(GraspResult(header, grasps, "abc", np.eye(4)))
    for goal, expected in (
        (Goal(), [0.9, 0.6, 0.3]),
        (Goal("cog"), [0.9, 0.3]),
        (Goal(most=1), [0.9]),
    ):
        result = action.execute(goal)
        assert (goal.state, result.success, result.sent) == ("succeeded", True, len(expected))
        assert [feedback.grasp.grasp_quality for feedback in goal.sent] == expected
        assert [feedback.number for feedback in goal.sent] == list(range(len(expected)))


def test_without_grasps_the_goal_is_aborted_with_the_reason(
    offered: tuple[Node, GraspService, GraspAction], grasps: list[Grasp], header: Header
) -> None:
    node, service, action = offered

    def refused(goal: Goal) -> str:
        result = action.execute(goal)
        assert (goal.state, result.success, goal.sent) == ("aborted", False, [])
        return str(result.message)

    assert refused(Goal()) == "No image has been processed yet."
    service.put(GraspResult(header, [], "abc", np.eye(4), "Every grasp was refused."))
    assert refused(Goal()) == "Every grasp was refused."
    service.put(GraspResult(header, grasps, "abc", np.eye(4)))
    assert refused(Goal("bolt")) == "There are grasps, but none of bolt."
    assert refused(Goal(timeout=float("nan"))) == "timeout is nan s; expected 0 to 600 s."
    node.active = False
    assert refused(Goal()) == "The node is inactive."


def test_it_waits_for_an_image_with_grasps_and_ends_when_it_is_cancelled(
    offered: tuple[Node, GraspService, GraspAction], grasps: list[Grasp], header: Header
) -> None:
    _, service, action = offered
    service.put(GraspResult(header, [], "abc", np.eye(4), "No part."))
    later = threading.Timer(0.1, service.put, [GraspResult(header, grasps, "abc", np.eye(4))])
    later.start()
    goal = Goal(timeout=30.0)
    assert action.execute(goal).success and len(goal.sent) == 3
    stopped = Goal(cancel_after=1)
    result = action.execute(stopped)
    assert (stopped.state, result.success, len(stopped.sent)) == ("canceled", False, 1)
    assert result.message == "The request was cancelled after 1 grasps."


def test_without_moveit_the_diagnostics_say_what_to_install(types: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moveit_msgs", None)
    assert moveit_types() is None
    monkeypatch.setitem(sys.modules, "binpose_interfaces.srv", SimpleNamespace(GetGrasps=object))
    node = Node(types)
    action = GraspAction(node, GraspService(node))
    assert action.values() == {"moveit_action": ABSENT} and node.log == [ABSENT]
