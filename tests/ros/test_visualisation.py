"""RViz's configuration and Foxglove's layout show topics that the nodes send, as what they are."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

SHARE = Path(__file__).resolve().parents[2] / "src/binpose"
CAMERA_NS = "/camera"
# What the plugins subscribe to: rviz_default_plugins and vision_msgs_rviz_plugins, plugins_description.xml.
SHOWN_BY = {
    "rviz_default_plugins/Image": "Image",
    "rviz_default_plugins/MarkerArray": "MarkerArray",
    "rviz_default_plugins/PoseArray": "PoseArray",
    "vision_msgs_rviz_plugins/Detection3DArray": "Detection3DArray",
}
WITHOUT_TOPIC = {"rviz_default_plugins/Grid", "rviz_default_plugins/TF"}


@pytest.fixture(scope="module")
def rviz() -> Any:
    return YAML(typ="safe").load(SHARE / "config/bin_picking.rviz")


@pytest.fixture(scope="module")
def foxglove() -> Any:
    return json.loads((SHARE / "config/foxglove.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sent() -> dict[str, str]:
    """The nodes' topics and their types, as the classes that open them say."""
    if importlib.util.find_spec("rclpy") is None:
        pytest.skip("rclpy cannot be imported: source ROS 2's setup.bash first")
    from binpose_detection.node import DetectionOutputs
    from binpose_estimator.node import PoseOutputs
    from binpose_refinement.node import RefinementOutputs
    from binpose_ros.camera_outputs import KINDS
    from binpose_ros.grasp_messages import GraspOutputs

    found = {f"{CAMERA_NS}/{topic}": kind for topic, kind in KINDS.items()}

    class Recorder:
        types = None

        def output(self, kind: str, topic: str) -> None:
            found[f"/{topic}"] = kind

    for outputs, stage in ((DetectionOutputs, "detection"), (PoseOutputs, "pose_estimator")):
        outputs(Recorder(), f"{stage}/")
    RefinementOutputs(Recorder(), "refinement/")
    GraspOutputs(Recorder(), "grasp_publisher/")
    return found | {"/diagnostics": "DiagnosticArray"}


def displays(rviz: Any) -> list[Any]:
    return list(rviz["Visualization Manager"]["Displays"])


def leaves(layout: Any) -> Iterator[str]:
    if isinstance(layout, str):
        yield layout
    else:
        assert layout["direction"] in ("row", "column")
        yield from leaves(layout["first"])
        yield from leaves(layout["second"])


def test_rviz_shows_topics_that_are_sent(rviz: Any, sent: dict[str, str]) -> None:
    with_topic = [display for display in displays(rviz) if "Topic" in display]
    assert {display["Class"] for display in with_topic} == set(SHOWN_BY)
    for display in with_topic:
        assert sent[display["Topic"]["Value"]] == SHOWN_BY[display["Class"]], display["Name"]
    assert {display["Class"] for display in displays(rviz)} == set(SHOWN_BY) | WITHOUT_TOPIC


def test_foxglove_shows_topics_that_are_sent(foxglove: Any, sent: dict[str, str]) -> None:
    for name, panel in foxglove["configById"].items():
        if name.startswith("Image!"):
            assert sent[panel["imageMode"]["imageTopic"]] == "Image"
            assert sent[panel["imageMode"]["calibrationTopic"]] == "CameraInfo"
        elif name.startswith("3D!"):
            assert {sent[topic] for topic in panel["topics"]} == {"MarkerArray"}
        else:
            assert name.startswith("DiagnosticSummary!") and sent[panel["topicToRender"]] == "DiagnosticArray"


def test_every_panel_of_foxglove_has_its_place_and_its_settings(foxglove: Any) -> None:
    places = list(leaves(foxglove["layout"]))
    assert len(places) == len(set(places)) and set(places) == set(foxglove["configById"])
    assert {"configById", "globalVariables", "playbackConfig", "layout"} <= set(foxglove)


def test_rviz_and_foxglove_look_from_the_simulated_cameras_frame(rviz: Any, foxglove: Any) -> None:
    if importlib.util.find_spec("rclpy") is None:
        pytest.skip("rclpy cannot be imported: source ROS 2's setup.bash first")
    from binpose_simulation.node import CameraSettings

    frame_id = CameraSettings().frame_id
    assert rviz["Visualization Manager"]["Global Options"]["Fixed Frame"] == frame_id
    assert foxglove["configById"]["3D!parts"]["followTf"] == frame_id
