"""The requests of `self_training`, with a small program in the place of `binpose` and one node that follows."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_graph import next_domain
from live_messages import latched_qos

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

from action_msgs.msg import GoalStatus

from binpose_core.learning.model_store import ModelStore

PROGRAM = """
import json, sys, time
from pathlib import Path
import numpy as np
from action_msgs.msg import GoalStatus

from binpose_core.learning.model_store import ModelStore
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
run, bag = Path(options["--out"]), Path(sys.argv[2])
def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)
(run / "run.json").write_text("{}")
say("progress", stage="round 1, teaching", round=1, fraction=0.5, message="")
store = ModelStore(options["--model"])
champion = store.current()
student = store.save({"a": np.ones(3)}, {"self_training": {}}, parent=champion)
store.nominate(student)
say("round", number=1, labels=3, poses=5)
while (bag / "wait").exists():
    time.sleep(0.05)
promoted = "--no-promote" not in sys.argv
verdict = {"decision": "promoted", "champion": champion, "reasons": ["It finds more."]}
store.record_verdict(student, verdict)
if promoted:
    store.promote(student)
say("result", message="Done.", champion=champion, candidate=student, promoted=promoted, verdict=verdict)
"""


class Cell:
    """The node with a small store, a running node that follows the store, and clients."""

    def __init__(self, folder: Path, context: Any) -> None:
        from binpose_interfaces.action import SelfTrain
        from binpose_interfaces.msg import ModelStatus
        from rclpy.action import ActionClient

        from binpose_self_training.node import SelfTrainingNode

        self.store = ModelStore(folder / "store")
        self.first = self.store.save({"a": np.zeros(3)}, {"name": "first"})
        self.bag = folder / "bag"
        self.bag.mkdir()
        values = {
            "model": str(self.store.directory), "directory": str(folder / "bags"), "recorder.min_free_gb": 0.0,
            "live.every": 0, "training.swap_s": 2.0,
        }  # fmt: skip
        overrides = [rclpy.Parameter(name, value=value) for name, value in values.items()]
        self.made = SelfTrainingNode(context=context, parameter_overrides=overrides)
        self.node = rclpy.create_node("client", context=context)
        self.follows, self.kind = True, SelfTrain
        self.used = self.node.create_publisher(ModelStatus, "bin_picking/model_status", latched_qos())
        self.announced: list[Any] = []
        self.node.create_subscription(ModelStatus, "/self_training/model_status", self.announced.append, latched_qos())
        self.node.create_timer(0.1, self.follow)
        self.version = ""
        self.actions = ActionClient(self.node, SelfTrain, "/self_training/self_train")
        self.feedback: list[Any] = []

    def follow(self) -> None:
        """What a running node does every `watch_s`."""
        from binpose_interfaces.msg import ModelStatus

        version = str(self.store.current())
        if version != self.version and (self.follows or not self.version):
            self.version = version
            location = str(self.store.directory / f"weights-{version[:12]}.safetensors")
            self.used.publish(ModelStatus(node="/bin_picking", version=version, location=location))

    def activate(self) -> None:
        self.made.trigger_configure()
        self.made.trigger_activate()
        until(lambda: self.announced and self.made._keeper._running.using(self.store.directory))

    def call(self, name: str, **fields: Any) -> Any:
        from binpose_interfaces.srv import LoadModel
        from std_srvs.srv import Trigger

        kind = LoadModel if name == "promote" else Trigger
        client = self.node.create_client(kind, f"/self_training/{name}")
        assert client.wait_for_service(60)
        future = client.call_async(kind.Request(**fields))
        until(future.done)
        return future.result()

    def send(self, promote: bool = True, bag: str = "") -> Any:
        assert self.actions.wait_for_server(60)
        goal = self.kind.Goal(bags=[bag or str(self.bag)], promote=promote)
        future = self.actions.send_goal_async(goal, lambda message: self.feedback.append(message.feedback))
        until(future.done)
        return future.result()

    def result(self, handle: Any) -> Any:
        future = handle.get_result_async()
        until(future.done)
        return future.result()

    def hold(self) -> Callable[[], None]:
        """Let runs wait after their student; call the result to let them go on."""
        wait = self.bag / "wait"
        wait.touch()
        return wait.unlink

    def has_student(self) -> None:
        until(lambda: any(feedback.labels_kept for feedback in self.feedback))


def until(condition: Callable[[], Any], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def cell(ros_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    package = tmp_path / "stand_in" / "binpose"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(PROGRAM)
    paths = [str(package.parent), ros_environment["PYTHONPATH"]]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    context = rclpy.Context()
    context.init(domain_id=next_domain())
    made = Cell(tmp_path, context)
    executor = rclpy.executors.MultiThreadedExecutor(8, context=context)
    for node in (made.made, made.node):
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    yield made
    made.made.close()
    executor.shutdown(10)
    for node in (made.made, made.node):
        node.destroy_node()
    context.try_shutdown()


def test_a_goal_trains_promotes_and_waits_for_the_running_node(cell: Cell) -> None:
    refused = cell.result(cell.send())
    assert refused.result.code == "NOT_ACTIVE" and refused.status == GoalStatus.STATUS_ABORTED
    cell.activate()
    answer = cell.result(cell.send())
    result = answer.result
    assert answer.status == GoalStatus.STATUS_SUCCEEDED and result.success
    assert (result.code, result.decision, result.promoted) == ("OK", "promoted", True)
    assert result.version == cell.store.current() == cell.version != cell.first
    assert json.loads(result.metrics)["reasons"] == ["It finds more."]
    assert next((f.stage, f.round, f.fraction) for f in cell.feedback) == ("round 1, teaching", 1, 0.5)
    assert (cell.feedback[-1].labels_kept, cell.feedback[-1].labels_seen) == (3, 5)
    until(lambda: cell.announced[-1].version == result.version and cell.announced[-1].previous == cell.first)
    back = cell.call("rollback")
    assert back.success and back.message == f"Model {cell.first[:12]} is in use again in bin_picking."
    assert cell.version == cell.first


def test_a_second_goal_is_aborted_and_a_cancelled_one_leaves_the_store_as_it_was(cell: Cell) -> None:
    cell.activate()
    before = cell.store.versions(), cell.store.aliases()
    cell.hold()
    handle = cell.send()
    cell.has_student()
    second = cell.result(cell.send())
    assert second.status == GoalStatus.STATUS_ABORTED
    assert second.result.code == "BUSY" and "one at a time" in second.result.message
    handle.cancel_goal_async()
    answer = cell.result(handle)
    assert answer.status == GoalStatus.STATUS_CANCELED and answer.result.code == "CANCELLED"
    assert (cell.store.versions(), cell.store.aliases()) == before
    assert not list((cell.store.directory / "self_training").iterdir())


def test_a_node_that_ends_interrupts_the_run_and_keeps_it(cell: Cell) -> None:
    cell.activate()
    cell.hold()
    handle = cell.send()
    cell.has_student()
    cell.made.trigger_deactivate()
    answer = cell.result(handle)
    assert not answer.result.success and "the same goal resumes it" in answer.result.message
    (run,) = (cell.store.directory / "self_training").iterdir()
    assert (run / "run.json").is_file() and cell.store.current() == cell.first


def test_only_what_the_gate_has_promoted_can_be_promoted(cell: Cell) -> None:
    cell.activate()
    answer = cell.call("promote")
    assert not answer.success and "has no candidate" in answer.message and answer.version == cell.first
    unproven = cell.store.save({"a": np.full(3, 2.0)}, {})
    answer = cell.call("promote", version=unproven[:10])
    assert not answer.success and "The gate has not promoted" in answer.message
    answer = cell.call("promote", store="/another/store")
    assert not answer.success and "names the store /another/store" in answer.message
    result = cell.result(cell.send(promote=False)).result
    assert result.success and not result.promoted and cell.store.current() == cell.first
    status = cell.call("model_status")
    assert status.success and f"candidate {result.version[:12]}" in status.message
    answer = cell.call("promote")
    assert answer.success and answer.version == result.version == cell.version
    assert answer.message == f"Model {result.version[:12]} is in use in bin_picking."


def test_a_model_that_the_running_node_does_not_take_is_taken_back(cell: Cell) -> None:
    cell.activate()
    cell.follows = False
    result = cell.result(cell.send()).result
    assert result.success and result.decision == "promoted" and not result.promoted
    assert f"bin_picking did not use model {result.version[:12]} within 2 s" in result.message
    assert cell.store.current() == cell.first and cell.store.aliases()["candidate"] == result.version


def test_bad_input_is_a_sentence_in_the_result(cell: Cell) -> None:
    cell.activate()
    result = cell.result(cell.send(bag="/nowhere/bag")).result
    assert not result.success and result.code == "BAD_INPUT" and "/nowhere/bag" in result.message
    next(cell.store.directory.glob("*.safetensors")).write_bytes(b"cut")
    result = cell.result(cell.send()).result
    assert not result.success and "truncated" in result.message
