"""A processed frame without results has the probable reason; what looks odd in a frame is in the diagnostics."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bench import Workbench
from live_graph import MODEL
from plain_frames import box_on_table, square_detection

from binpose_core.base.reasons import Reason

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")


@pytest.fixture
def refinement(bench: Workbench) -> Any:
    from binpose_refinement.node import RefinementNode

    return active(bench(RefinementNode, model=str(MODEL), watch_s=0.0, threshold=0.5))


@pytest.fixture
def detection(bench: Workbench) -> Any:
    from binpose_detection.node import DetectionNode

    return active(bench(DetectionNode, model=str(MODEL), watch_s=0.0))


def active(node: Any) -> Any:
    node.trigger_configure()
    node.trigger_activate()
    return node


def match_of(frame: Any) -> dict[str, bytes]:
    """The messages of a frame by topic."""
    from rclpy.serialization import serialize_message

    from binpose_ros.frames import from_camera
    from binpose_ros.images import from_color, from_depth_m
    from binpose_ros.inputs import COLOR, DEPTH, INFO
    from binpose_ros.message_types import ros_types
    from binpose_ros.stamps import Header

    types, header = ros_types(), Header(5_000_000_000, "camera")
    messages = {
        COLOR.topic: from_color(frame.color, header, types),
        DEPTH.topic: from_depth_m(frame.depth_m, header, types),
        INFO.topic: from_camera(frame.camera, header, types),
    }
    return {topic: serialize_message(message) for topic, message in messages.items()}


def empty_bin(holes: float = 0.0) -> Any:
    """A plain table, in part without depth."""
    frame = box_on_table()
    depth_m = np.full_like(frame.depth_m, 0.6)
    depth_m[: round(holes * len(depth_m))] = 0
    return replace(frame, color=np.full_like(frame.color, 90), depth_m=depth_m)


@pytest.mark.parametrize(
    ("holes", "reason", "words"), [(0.0, Reason.NO_PARTS, "in sight"), (0.9, Reason.LITTLE_DEPTH, "10%")]
)
def test_a_frame_in_which_nothing_is_detected_has_its_reason(
    detection: Any, holes: float, reason: Reason, words: str
) -> None:
    outcome = detection.process(match_of(empty_bin(holes)))
    assert (outcome.reason, outcome.found, outcome.reported) == (reason, 0, 0) and words in outcome.message
    assert outcome.version and not outcome.is_failure


def test_detections_that_are_not_followed_up_are_counted() -> None:
    from binpose_detection.node import why_nothing
    from binpose_ros.settings import DetectionChoice

    frame = box_on_table()
    settings = DetectionChoice(min_score=0.4, region="0,0 9,0 0,9")
    outcome = why_nothing(frame, [square_detection(frame, "part")], {}, settings)
    assert outcome.reason is Reason.NO_PARTS
    assert outcome.message.startswith("None of 1 detections lies in the region with a score of at least 0.4;")


def test_poses_below_the_threshold_are_no_empty_bin(refinement: Any) -> None:
    from binpose_core.frames.types import PoseEstimate
    from binpose_refinement.node import why_unreported

    objects, frame = refinement.models.find("").objects, empty_bin()
    name, *others = objects
    found, T_cam_obj = [square_detection(frame, name)], np.eye(4)
    settings = refinement.settings
    outcome = why_unreported(frame, found, [PoseEstimate(name, T_cam_obj, 0.31)], objects, settings)
    assert outcome.reason is Reason.BELOW_THRESHOLD and f"0.31 of {name}" in outcome.message
    assert why_unreported(frame, found, [], objects, settings).reason is Reason.NO_POSE
    only = replace(settings, objects=tuple(others))
    assert (
        why_unreported(frame, found, [PoseEstimate(name, T_cam_obj, 0.9)], objects, only).reason is Reason.OTHER_PARTS
    )


def test_a_reason_whose_figures_change_is_logged_once(stage_class: Any, bench: Workbench) -> None:
    from types import SimpleNamespace

    from binpose_ros.outcome import Outcome

    node, logged = bench(stage_class), []
    node.get_logger = lambda: SimpleNamespace(warning=logged.append)
    for score in (0.1, 0.2):
        node.frames.finish(Outcome(Reason.BELOW_THRESHOLD, f"The best score is {score}."))
    assert logged == ["The best score is 0.1."] and node.monitor.outcome.message == "The best score is 0.2."


def test_what_looks_odd_in_a_frame_is_a_remark_until_it_is_gone(detection: Any) -> None:
    frame = empty_bin()
    odd = replace(frame, camera=replace(frame.camera, cx=20.0, cy=15.0))
    for _ in range(2):
        detection.frames.read(match_of(odd))
    (note,) = [problem.message for problem in detection.diagnostics.problems() if problem.reason is Reason.ODD_INPUT]
    assert "principal point (20.0, 15.0)" in note
    detection.frames.read(match_of(frame))
    assert Reason.ODD_INPUT not in {problem.reason for problem in detection.diagnostics.problems()}
