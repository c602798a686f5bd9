"""Grasps as messages: poses of the hand's frame, markers of the hand, and the last ones on request."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from binpose_core.frames.types import Drag, Grasp, Hypothesis
from binpose_core.geometry.transforms import from_rotation_translation, inverse, random_rotation
from binpose_ros.grasp_messages import (
    ARROW,
    CUBE,
    SHOWN,
    GraspResult,
    GraspService,
    grasp_array,
    hand_markers,
    in_frame,
    to_drag,
    to_grasp,
)
from binpose_ros.markers import DELETE_ALL
from binpose_ros.poses import to_matrix
from binpose_ros.stamps import Header, from_header


def motion(rng: np.random.Generator) -> np.ndarray:
    return from_rotation_translation(random_rotation(rng), rng.normal(size=3))


@pytest.fixture
def grasps(rng: np.random.Generator) -> list[Grasp]:
    joints, pose = rng.normal(size=(5, 7)), Hypothesis("cog", motion(rng), 0.8)
    return [
        Grasp("cog", motion(rng), 0.02, 0.9, motion(rng), motion(rng), 1, joints=joints, grasp_waypoint=3, pose=pose),
        Grasp("nut", motion(rng), 0.03, 0.5, motion(rng), motion(rng), 0, "suction"),
    ]


def boxes(width_m: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([[0, width_m, 0], [-0.1, -0.1, -0.2]]), np.array([[0.01, width_m + 0.01, 0.05], [0.1, 0.1, 0.0]])


def test_an_array_holds_the_poses_of_the_hand_frame(
    grasps: list[Grasp], header: Header, types: Any, rng: np.random.Generator
) -> None:
    T_tcp_hand = motion(rng)
    array = types.sent(grasp_array(header, grasps, "abcdef012345", T_tcp_hand, types))
    assert from_header(array) == header
    for message, grasp in zip(array.grasps, grasps, strict=True):
        for name, T in (
            ("pose", grasp.T_cam_hand),
            ("pregrasp", grasp.T_cam_pregrasp),
            ("retreat", grasp.T_cam_retreat),
        ):
            np.testing.assert_allclose(to_matrix(getattr(message, name)), T @ T_tcp_hand, atol=1e-9)
        assert (message.object_id, message.tool, message.width) == (grasp.object_id, grasp.tool, grasp.width_m)
        assert message.detection_id == f"abcdef012345/{grasp.pose_index}"
    assert grasps[0].joints is not None
    np.testing.assert_allclose(array.grasps[0].joints, grasps[0].joints[3])
    assert len(array.grasps[1].joints) == 0


def test_a_grasp_comes_back_from_its_message(grasps: list[Grasp], header: Header, types: Any) -> None:
    one, other = (to_grasp(m) for m in types.sent(grasp_array(header, grasps, "abc", np.eye(4), types)).grasps)
    first = grasps[0]
    for name in ("T_cam_hand", "T_cam_pregrasp", "T_cam_retreat"):
        np.testing.assert_allclose(getattr(one, name), getattr(first, name), atol=1e-9)
    assert (one.object_id, one.width_m, one.score, one.pose_index, one.tool) == ("cog", 0.02, 0.9, 1, "parallel")
    assert one.pose is not None and first.pose is not None and first.joints is not None and one.joints is not None
    np.testing.assert_allclose(one.pose.T_cam_obj, first.pose.T_cam_obj, atol=1e-9)
    assert (one.pose.object_id, one.pose.score) == ("cog", 0.8)
    np.testing.assert_array_equal(one.joints[one.grasp_waypoint], first.joints[first.grasp_waypoint])
    assert other.joints is None and other.pose is not None and other.pose.score == 0.0


def drag_of(rng: np.random.Generator) -> Drag:
    T = motion(rng)
    return Drag("cog", 3, T, T[:3, 0], 0.04)


def test_a_drag_comes_back_from_its_message(header: Header, types: Any, rng: np.random.Generator) -> None:
    drag, T_tcp_hand = drag_of(rng), motion(rng)
    (message,) = types.sent(grasp_array(header, (), "abc", T_tcp_hand, types, [drag])).drags
    found = to_drag(message)
    np.testing.assert_allclose(found.T_cam_hand, drag.T_cam_hand @ T_tcp_hand, atol=1e-9)
    np.testing.assert_allclose(found.direction, drag.direction, atol=1e-9)
    assert (found.object_id, found.pose_index, found.length_m) == ("cog", 3, 0.04)


def test_an_arrow_shows_the_best_drag(
    grasps: list[Grasp], header: Header, types: Any, rng: np.random.Generator
) -> None:
    drags = [drag_of(rng), drag_of(rng)]
    (arrow,) = [
        m for m in hand_markers(header, (), (), boxes, types, drags).markers if m.type == ARROW and m.ns == "drag"
    ]
    T = to_matrix(arrow.pose)
    np.testing.assert_allclose(T[:3, 0], drags[0].direction, atol=1e-9)
    np.testing.assert_allclose(T[:3, 3], drags[0].T_cam_hand[:3, 3], atol=1e-9)
    assert arrow.scale.x == 0.04
    assert [m for m in hand_markers(header, grasps, (), boxes, types, drags).markers if m.ns == "drag"]


def test_the_hand_is_drawn_at_the_best_grasps_and_else_at_the_best_refused_one(
    grasps: list[Grasp], header: Header, types: Any
) -> None:
    array = types.sent(hand_markers(header, grasps * SHOWN, grasps[1:], boxes, types))
    first, *cubes = array.markers
    assert first.action == DELETE_ALL and len(cubes) == 2 * SHOWN and {m.type for m in cubes} == {CUBE}
    assert len({m.id for m in cubes}) == len(cubes)
    assert cubes[0].color.g > cubes[0].color.r and cubes[0].color != cubes[-1].color
    local = inverse(grasps[0].T_cam_hand) @ to_matrix(cubes[0].pose)
    np.testing.assert_allclose(local[:3, 3], [0.005, 0.025, 0.025], atol=1e-9)
    assert (cubes[0].scale.x, cubes[0].scale.z) == (0.01, 0.05)
    _, *refused = types.sent(hand_markers(header, [], grasps[1:], boxes, types)).markers
    assert len(refused) == 2 and refused[0].color.r > refused[0].color.g
    assert len(types.sent(hand_markers(header, [], [], boxes, types)).markers) == 1


def test_grasps_go_to_another_frame_and_back(grasps: list[Grasp], rng: np.random.Generator) -> None:
    T = motion(rng)
    there = in_frame(grasps, T)
    np.testing.assert_allclose(there[0].T_cam_hand, T @ grasps[0].T_cam_hand)
    assert there[0].pose is not None and grasps[0].pose is not None and there[1].pose is None
    np.testing.assert_allclose(there[0].pose.T_cam_obj, T @ grasps[0].pose.T_cam_obj)
    np.testing.assert_allclose(in_frame(there, inverse(T))[1].T_cam_retreat, grasps[1].T_cam_retreat, atol=1e-9)


class Node:
    """It offers one service."""

    def __init__(self, types: Any) -> None:
        self.types = types

    def create_service(self, kind: Any, name: str, callback: Any) -> None:
        self.name, self.call = name, callback


@pytest.fixture
def node(types: Any, monkeypatch: pytest.MonkeyPatch) -> Node:
    services = ModuleType("binpose_interfaces.srv")
    services.GetGrasps = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "binpose_interfaces", ModuleType("binpose_interfaces"))
    monkeypatch.setitem(sys.modules, "binpose_interfaces.srv", services)
    return Node(types)


def request(*object_ids: str, most: int = 0) -> Any:
    return SimpleNamespace(object_ids=list(object_ids), max_grasps=most)


def test_the_service_returns_the_grasps_of_the_last_image(node: Node, grasps: list[Grasp], header: Header) -> None:
    service = GraspService(node)
    assert node.name == "~/get_grasps"
    empty = node.call(request(), SimpleNamespace())
    assert (empty.success, empty.message) == (False, "No image has been processed yet.")
    service.put(GraspResult(header, grasps, "abc", np.eye(4)))

    def ids(response: Any) -> list[str]:
        return [grasp.object_id for grasp in response.grasps.grasps]

    everything = node.call(request(), SimpleNamespace())
    assert everything.success and ids(everything) == ["cog", "nut"]
    assert ids(node.call(request(most=1), SimpleNamespace())) == ["cog"]
    assert ids(node.call(request("nut"), SimpleNamespace())) == ["nut"]
    none = node.call(request("bolt"), SimpleNamespace())
    assert none.success and ids(none) == [] and none.message == "There are grasps, but none of bolt."
    service.put(GraspResult(header, [], "", np.eye(4), "No depth.", success=False))
    failed = node.call(request(), SimpleNamespace())
    assert (failed.success, failed.message, ids(failed)) == (False, "No depth.", [])
