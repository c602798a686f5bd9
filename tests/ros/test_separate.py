"""One process per stage: the same poses, lifecycle, a model that all have or none uses, and a node that is killed."""

import signal
from pathlib import Path
from typing import Any

import pytest
from live_graph import MODEL
from live_messages import assert_those_of_the_library, complete_frame, stamp

FOLLOWERS = ("pose_estimator", "refinement")


@pytest.fixture(scope="module")
def live(graph: Any, store: Path) -> Any:
    """The graph with the camera and all stages, once the first poses have come."""
    from vision_msgs.msg import Detection3DArray

    graph.poses = graph.listen("/refinement/poses", Detection3DArray)
    for name in FOLLOWERS:
        graph.start(name, model=str(store), watch_s=0.0)
    graph.start("detection", model=str(store), watch_s=0.0, followers=FOLLOWERS)
    graph.start("simulated_camera", rate_hz=0.5, hold=1000, views=1, depth_encoding="16UC1")
    graph.wait(lambda: any(array.detections for array in list(graph.poses)), "poses")
    return graph


def new_poses(live: Any) -> Any:
    """The next poses that come."""
    before = len(live.poses)
    live.wait(lambda: len(live.poses) > before and live.poses[-1].detections, "new poses")
    return live.poses[-1]


def test_results_are_those_of_the_library(live: Any) -> None:
    messages = complete_frame(live, live.poses)
    assert messages[2].encoding == "16UC1"
    assert_those_of_the_library(*messages, looks=1)


def test_nodes_follow_the_lifecycle(live: Any) -> None:
    from lifecycle_msgs.srv import GetState

    def state() -> str:
        return str(live.call("/refinement/get_state", GetState).current_state.label)

    assert state() == "active"
    for transition, after in (
        ("deactivate", "inactive"),
        ("cleanup", "unconfigured"),
        ("configure", "inactive"),
        ("activate", "active"),
    ):
        assert live.change_state("refinement", transition)
        assert state() == after
        if transition == "deactivate":
            live.wait(lambda: live.status("refinement").get("state") == "inactive", "that state in the diagnostics")
            assert not live.change_state("refinement", "deactivate")
    assert new_poses(live).detections


def test_a_model_that_is_not_there_fails_the_configuration(live: Any) -> None:
    def set_model(path: Path) -> Any:
        return live.set_parameters("refinement", model=str(path))[0]

    store = live.folder / "nowhere"
    assert not set_model(store).successful  # not while it is active
    assert live.change_state("refinement", "deactivate") and live.change_state("refinement", "cleanup")
    assert set_model(store).successful
    assert not live.change_state("refinement", "configure")
    live.wait(lambda: "No model at" in live.status("refinement").get("message", ""), "the reason")
    assert set_model(MODEL).successful
    assert live.change_state("refinement", "configure") and live.change_state("refinement", "activate")
    assert new_poses(live).detections


def test_a_model_is_used_when_all_stages_hold_it_and_no_result_is_of_two(live: Any, store: Path) -> None:
    from binpose_interfaces.srv import LoadModel
    from vision_msgs.msg import Detection2DArray, Detection3DArray

    from binpose_core.learning.model_store import ModelStore
    from binpose_ros.vision_arrays import split_id

    outputs = [
        live.listen("/detection/detections", Detection2DArray),
        live.listen("/pose_estimator/poses", Detection3DArray),
    ]
    new = next(version for version in ModelStore(store).versions() if version != ModelStore(store).current())
    early = live.call("/refinement/load_model", LoadModel, store=str(store), version=new)
    assert early.success and "to be used next" in early.message and early.version != new
    answer = live.call("/detection/load_model", LoadModel, store="", version=new)
    assert answer.success and answer.version == new, answer.message
    live.wait(
        lambda: split_id((live.poses[-1].detections or [_no_pose()])[0].id)[0] == new[:12], "poses of the new model"
    )
    versions: dict[tuple[int, int], set[str]] = {}
    for array in [message for heard in (*outputs, live.poses) for message in list(heard)]:
        versions.setdefault(stamp(array), set()).update(split_id(detection.id)[0] for detection in array.detections)
    assert all(len(found) <= 1 for found in versions.values())
    assert not [name for name in ("detection", *FOLLOWERS) if "No model" in live.status(name).get("message", "")]


def test_a_killed_node_is_started_again_and_the_poses_come_back(live: Any, store: Path) -> None:
    from binpose_core.learning.model_store import ModelStore

    in_use = live.status("detection")["model_version"]
    ModelStore(store).promote(ModelStore(store).resolve(in_use))
    assert live.stop("pose_estimator", signal.SIGKILL) == -signal.SIGKILL
    before = len(live.poses)
    live.start("pose_estimator", model=str(store))
    live.wait(lambda: live.status("pose_estimator").get("state") == "active", "the node")
    assert new_poses(live).detections and len(live.poses) > before


def test_a_node_ends_when_it_is_told(live: Any) -> None:
    for name in list(live.processes):
        assert live.stop(name) == 0, live.log(name)
        assert "Traceback" not in live.log(name)


def _no_pose() -> Any:
    from vision_msgs.msg import Detection3D

    return Detection3D(id="none/0")
