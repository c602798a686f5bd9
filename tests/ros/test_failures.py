"""What fails in a transition, a service or a parameter has a reason, and the node stays to try again.

The nodes live in this process, and nothing is sent: any error can be made.
"""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench import Workbench
from live_graph import MODEL

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

from rclpy.lifecycle import TransitionCallbackReturn

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def broken(*arguments: Any, **named: Any) -> Any:
    raise KeyError("a slip")


def test_a_gpu_that_is_not_there_is_told(bench: Workbench, stage_class: Any, monkeypatch: Any) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    node = bench(stage_class, device="cuda")
    assert node.trigger_configure() == FAILURE and node.state == "unconfigured"
    assert len(node.logged) == 1 and "torch sees no GPU" in node.logged[0]
    assert node.refusal == node.logged[0]


def test_any_error_in_configure_is_told_and_it_can_be_tried_again(
    bench: Workbench, stage_class: Any, monkeypatch: Any
) -> None:
    node = bench(stage_class)
    with monkeypatch.context() as patch:
        patch.setattr(node, "open_outputs", broken)
        assert node.trigger_configure() == FAILURE and node.state == "unconfigured"
    assert "KeyError('a slip')" in node.refusal and node.models.current is None
    assert "in broken" in node.logged[0]  # the traceback
    assert any(problem.message == node.refusal for problem in node.diagnostics.problems())
    assert node.trigger_configure() == SUCCESS
    assert node.refusal == "" and not [r for r in node.diagnostics.problems() if "a slip" in r.message], (
        "its cause is gone"
    )


def test_any_error_in_activate_is_told_and_it_can_be_tried_again(
    bench: Workbench, stage_class: Any, monkeypatch: Any
) -> None:
    node = bench(stage_class)
    assert node.trigger_configure() == SUCCESS
    with monkeypatch.context() as patch:
        patch.setattr("binpose_ros.frame_worker.Inputs", broken)
        assert node.trigger_activate() == FAILURE and node.state == "inactive"
    assert "KeyError('a slip')" in node.refusal and not node.out.is_activated
    assert not [thread for thread in threading.enumerate() if thread.name == "worker"]
    assert node.trigger_activate() == SUCCESS and node.out.is_activated


def test_a_process_that_is_ended_while_a_model_is_loaded_says_nothing(bench: Workbench, stage_class: Any) -> None:
    from binpose_ros.running import start

    node = bench(stage_class)
    build = node.build

    def ended(*arguments: Any) -> Any:
        node.context.try_shutdown()
        return build(*arguments)

    node.build = ended
    start(node)
    assert not node.logged and node.state != "active"


@pytest.mark.parametrize("service", ["load_model", "rollback"])
def test_a_client_gets_an_answer_whatever_fails(
    bench: Workbench, stage_class: Any, monkeypatch: Any, service: str
) -> None:
    node = bench(stage_class)
    assert node.trigger_configure() == SUCCESS
    monkeypatch.setattr(node.models, "load", broken)
    monkeypatch.setattr(node.models, "roll_back", broken)
    (server,) = [entry for entry in node.services if entry.srv_name.endswith(f"/{service}")]
    response = server.callback(SimpleNamespace(store="", version=""), SimpleNamespace())
    assert not response.success and "KeyError('a slip')" in response.message
    assert response.message in node.logged and "in broken" in "".join(node.logged)
    assert node.monitor.model_reason == ""  # A request that fails changes nothing that the diagnostics tell.


def test_a_store_that_is_watched_may_fail_in_any_way(bench: Workbench, stage_class: Any, monkeypatch: Any) -> None:
    node = bench(stage_class)
    assert node.trigger_configure() == SUCCESS
    monkeypatch.setattr("binpose_ros.model_leader.ModelStore", broken)
    node.model_source.watch()
    assert "KeyError('a slip')" in node.monitor.model_reason


def test_the_camera_and_the_recorder_tell_what_fails(bench: Workbench, monkeypatch: Any, tmp_path: Path) -> None:
    from binpose_self_training.node import SelfTrainingNode
    from binpose_simulation.node import SimulatedCameraNode

    camera = bench(SimulatedCameraNode, model=str(MODEL))
    monkeypatch.setattr(camera, "_simulated", broken)
    assert camera.trigger_configure() == FAILURE and "in broken" in camera.logged[0]
    camera._frames = []  # as if it were configured
    response = camera._reset(None, SimpleNamespace())
    assert not response.success and "KeyError('a slip')" in response.message

    recorder = bench(SelfTrainingNode)
    with monkeypatch.context() as patch:
        patch.setattr("binpose_self_training.node.prepare", broken)
        assert recorder.trigger_configure() == FAILURE and "in broken" in recorder.logged[0]
    monkeypatch.setattr("binpose_self_training.node.prepare", lambda directory: [])
    assert recorder.trigger_configure() == SUCCESS
    monkeypatch.setattr(recorder._recorder, "snapshot", broken)
    response = recorder._snapshot(None, SimpleNamespace())
    assert not response.success and "KeyError('a slip')" in response.message


def test_no_topic_is_left_when_the_recorder_closes_while_it_looks_for_topics(
    bench: Workbench, monkeypatch: Any
) -> None:
    from binpose_self_training.node import SelfTrainingNode

    monkeypatch.setattr("binpose_self_training.node.prepare", lambda directory: [])
    node = bench(SelfTrainingNode)
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    profile = SimpleNamespace(reliability=None, durability=None)

    def kind(name: str) -> str:  # the node has a subscription to the status of models of its own
        return "binpose_interfaces/msg/ModelStatus" if name.endswith("model_status") else "sensor_msgs/msg/Image"

    closing = threading.Thread(target=node.close)

    def look(name: str) -> list[Any]:
        if not closing.ident:
            closing.start()
            closing.join(0.3)
        return [SimpleNamespace(topic_type=kind(name), qos_profile=profile)]

    monkeypatch.setattr(node, "get_publishers_info_by_topic", look)
    node._subscribe_new()
    closing.join(10)
    assert closing.ident and not node._subscribed
    node._subscribe_new()
    assert not node._subscribed
