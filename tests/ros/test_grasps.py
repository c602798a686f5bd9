"""A simulated camera, all stages and the grasp publisher: grasps of true parts, and why there are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_messages import parts, poses_of, stamp

FRAME = "camera_color_optical_frame"
FINGERS = ["fer_finger_joint1", "fer_finger_joint2"]
SLIM = {"planner.gripper.palm_span_m": 0.09, "planner.gripper.finger_length_m": 0.1, "planner.widest_cone_rad": 0.6}
"""The simulated bin is narrower than the Franka hand; this hand fits into it."""


@pytest.fixture(scope="module")
def live(graph: Any, store: Path) -> Any:
    """The graph, once the first grasps have come."""
    from binpose_interfaces.msg import GraspArray
    from geometry_msgs.msg import PoseArray, PoseStamped
    from vision_msgs.msg import Detection3DArray

    graph.truth = graph.listen("/simulated_camera/truth", Detection3DArray)
    graph.poses = graph.listen("/refinement/poses", Detection3DArray)
    graph.grasps = graph.listen("/grasp_publisher/grasps", GraspArray)
    graph.best = graph.listen("/grasp_publisher/best_grasp", PoseStamped)
    graph.pictured = graph.listen("/grasp_publisher/grasp_poses", PoseArray)
    status = ("detection/model_status", "bin_picking/model_status")
    graph.start("grasp_publisher", status, model=str(store), **SLIM)
    graph.start("bin_picking", model=str(store), watch_s=0.0)
    graph.start("simulated_camera", rate_hz=0.5, hold=4, views=2, parts=8)
    graph.wait(lambda: any(array.grasps for array in list(graph.grasps)), "grasps")
    return graph


def same_frame(live: Any, heard: list[Any], message: Any) -> Any:
    return live.wait(lambda: next((m for m in list(heard) if stamp(m) == stamp(message)), None), "the same frame's")


def some(live: Any) -> Any:
    return next(array for array in list(live.grasps) if array.grasps)


def test_grasps_lie_on_true_parts(live: Any) -> None:
    from binpose_core.geometry.transforms import inverse, transform
    from binpose_core.meshes.closest import distance_reference
    from binpose_ros.poses import to_matrix

    array, known = some(live), parts()
    true = poses_of(same_frame(live, live.truth, array))
    on_parts = 0
    for grasp in array.grasps:
        T = to_matrix(grasp.pose)
        contacts = transform(T, np.array([[0.0, side * grasp.width / 2, 0.0] for side in (-1, 1)]))
        distances_m = [
            distance_reference(known[pose.object_id].mesh, transform(inverse(pose.T_cam_obj), contacts)).max()
            for pose in true
            if pose.object_id == grasp.object_id
        ]
        on_parts += min(distances_m, default=1.0) < 0.008  # a pad's reach beyond the contact
        assert T[2, 3] > 0.1 and T[2, 2] > np.cos(0.61)
        way_m = T[:3, 3] - to_matrix(grasp.pregrasp)[:3, 3]
        np.testing.assert_allclose(way_m, 0.08 * T[:3, 2], atol=1e-9)
        np.testing.assert_allclose(to_matrix(grasp.retreat)[:3, 3] - T[:3, 3], [0, 0, -0.1], atol=1e-9)
    assert on_parts >= 0.6 * len(array.grasps)


def test_grasps_name_their_poses_and_have_their_images_stamp_and_frame(live: Any) -> None:
    array = some(live)
    poses = same_frame(live, live.poses, array)
    classes = {detection.id: detection.results[0].hypothesis.class_id for detection in poses.detections}
    assert array.header.frame_id == FRAME
    assert stamp(array) in {stamp(truth) for truth in live.truth}
    assert all(classes[grasp.detection_id] == grasp.object_id for grasp in array.grasps)
    scores = [grasp.score for grasp in array.grasps]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] <= scores[0] <= 1


def test_the_best_grasp_is_the_first_one_and_all_are_pictured(live: Any) -> None:
    array = some(live)
    best, pictured = same_frame(live, live.best, array), same_frame(live, live.pictured, array)
    assert best.header.frame_id == pictured.header.frame_id == FRAME
    assert best.pose == array.grasps[0].pose
    assert list(pictured.poses) == [grasp.pose for grasp in array.grasps]


def test_moveit_gets_the_same_grasps_as_messages_of_its_own_best_first(live: Any) -> None:
    pytest.importorskip("moveit_msgs", reason="there are no messages of MoveIt")
    from binpose_interfaces.action import StreamGrasps
    from rclpy.action import ActionClient

    client = ActionClient(live.node, StreamGrasps, "/grasp_publisher/stream_grasps")
    live.wait(client.server_is_ready, "the action")
    heard: list[Any] = []
    goal = StreamGrasps.Goal(max_grasps=3, timeout=60.0)
    handle = live.asked(lambda: client.send_goal_async(goal, lambda m: heard.append(m.feedback)), "the goal")
    result = live.asked(handle.get_result_async, "the result").result
    assert result.success and 1 <= result.sent <= 3, result.message
    live.wait(lambda: len(heard) == result.sent, "all grasps")
    array = same_frame(live, live.grasps, heard[0].grasp.grasp_pose)
    for feedback, grasp in zip(heard, array.grasps, strict=False):
        moveit = feedback.grasp
        assert moveit.grasp_pose.header == array.header and moveit.grasp_pose.pose == grasp.pose
        assert (moveit.grasp_quality, list(moveit.allowed_touch_objects)) == (grasp.score, [grasp.object_id])
        assert moveit.pre_grasp_approach.desired_distance == pytest.approx(0.08)
        closed, opened = (hand.points[0].positions for hand in (moveit.grasp_posture, moveit.pre_grasp_posture))
        assert list(moveit.grasp_posture.joint_names) == FINGERS
        np.testing.assert_allclose(closed, grasp.width / 2, atol=1e-9)
        assert min(opened) > max(closed)
    refused = live.asked(lambda: client.send_goal_async(StreamGrasps.Goal(object_ids=["bolt"])), "the other goal")
    result = live.asked(refused.get_result_async, "the other result").result
    assert not result.success and "bolt" in result.message
    client.destroy()


def test_no_grasp_is_an_empty_array_with_a_reason_and_settings_count_from_the_next_frame_on(live: Any) -> None:
    assert live.set_parameters("grasp_publisher", planner__min_probability=1.0)[0].successful
    live.wait(lambda: not live.grasps[-1].grasps and not live.pictured[-1].poses, "an empty array")
    assert live.grasps[-1].header.frame_id == FRAME
    live.wait(lambda: "probability of 1" in live.status("grasp_publisher").get("last_reason", ""), "the reason")
    (refused,) = live.set_parameters("grasp_publisher", planner__down__z=0.0)
    assert not refused.successful and "expected a vector that is not zero" in refused.reason
    assert live.set_parameters("grasp_publisher", planner__min_probability=0.5)[0].successful
    before = len(live.grasps)
    live.wait(lambda: any(array.grasps for array in list(live.grasps)[before:]), "grasps again")


def test_grasps_go_on_with_the_model_that_the_poses_are_of(live: Any, store: Path) -> None:
    from binpose_interfaces.srv import LoadModel

    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    other = next(version for version in models.versions() if version != models.current())
    assert live.call("/bin_picking/load_model", LoadModel, store="", version=other).success
    live.wait(
        lambda: any(g.detection_id.startswith(other[:12]) for array in list(live.grasps) for g in array.grasps),
        "grasps of the new model's poses",
    )


def test_every_parameter_is_described(ros_environment: dict[str, str]) -> None:
    from binpose_grasping.node import GraspSettings
    from binpose_ros.settings import specs

    found = list(specs(GraspSettings()))
    assert not [spec.name for spec in found if not spec.description]
    assert all(spec.live for spec in found if spec.name.startswith("planner."))
    assert "planner.gripper.opening_m" in {spec.name for spec in found}
