"""Once around on the live graph: record, train, compare, swap and roll back, while poses keep coming."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_graph import MODEL, Graph
from live_messages import latched_qos

TINY = """
frames: {frames: 6, held_out: 0.3}
replay: {simulated: 0}
anchors: 0
fewest_labels: 1
selection: {test_time_views: 0}
student:
  detector: {loop: {samples: 32}, views: 2}
  pose: {loop: {samples: 64}, batch_size: 32}
"""
CAMERA = {"rate_hz": 0.5, "hold": 1, "views": 24, "parts": 5, "width": 400, "height": 300}


class Cell:
    """The graph with its store, and what bin_picking reports of each frame."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        from binpose_interfaces.msg import FrameStatus, ModelStatus

        from binpose_core.learning.model_store import ModelStore

        self.graph, self.folder = graph, folder
        self.store = ModelStore(shutil.copytree(MODEL, folder / "store"))
        self.first = str(self.store.current())
        self.bad = self.worse("estimator")
        self.frames = graph.listen("/refinement/status", FrameStatus)
        self.announced = graph.listen("/self_training/model_status", ModelStatus, latched_qos())
        (folder / "tiny.yaml").write_text(TINY)

    def start(self) -> None:
        """Start the camera and the nodes, and wait for poses."""
        store = str(self.store.directory)
        self.graph.start("bin_picking", model=store, watch_s=0.5)
        settings = {
            "model": store, "directory": str(self.folder / "bags"), "record": True, "recorder.min_free_gb": 0.0,
            "live.every": 1, "training.config": str(self.folder / "tiny.yaml"),
        }  # fmt: skip
        self.graph.run("self_training", "binpose_self_training.node", settings)
        self.graph.start("simulated_camera", model=store, **CAMERA)
        self.graph.wait(lambda: any(frame.reported for frame in list(self.frames)), "poses")

    def worse(self, part: str) -> str:
        """A version in which the weights of a network are nothing, so that it finds nothing."""
        stored = self.store.load(self.first)
        tensors = {
            name: value * np.float32(0) if name.startswith(f"{part}/") and value.dtype == np.float32 else value
            for name, value in stored.tensors.items()
        }
        return self.store.save({**tensors, "mark": np.random.default_rng(len(part)).random(4)}, stored.header)

    def used(self, version: str) -> None:
        """Wait until frames are processed with a version."""
        before = len(self.frames)
        self.graph.wait(
            lambda: any(frame.model_version == version for frame in list(self.frames)[before:]), f"model {version[:12]}"
        )

    def observed(self, number: int) -> None:
        """Wait until the node has looked at this many live frames of the model in use."""
        self.graph.wait(lambda: self.count >= number, f"{number} observed frames", patience_s=300)

    @property
    def count(self) -> int:
        return int(self.graph.status("self_training").get("live_frames") or 0)

    def lost(self) -> int:
        """Frames of the camera that were not processed."""
        return int(self.graph.status("bin_picking")["frames_dropped"])

    def call(self, name: str, **fields: Any) -> Any:
        from binpose_interfaces.srv import LoadModel
        from std_srvs.srv import SetBool, Trigger

        kinds = {"promote": LoadModel, "record": SetBool}
        return self.graph.call(f"/self_training/{name}", kinds.get(name, Trigger), **fields)

    def decided(self, version: str) -> Any:
        """The verdict of live frames about a candidate."""
        before = len(self.store.verdicts(version))
        return self.graph.wait(
            lambda: self.store.verdicts(version)[before:], f"a decision about {version[:12]}", patience_s=300
        )[-1]


@pytest.fixture(scope="module")
def cell(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    made = Cell(graph, tmp_path_factory.mktemp("cell"))
    made.start()
    yield made


class Goals:
    """A client of the action."""

    def __init__(self, graph: Graph) -> None:
        from binpose_interfaces.action import SelfTrain
        from rclpy.action import ActionClient

        self._graph, self._kind = graph, SelfTrain
        self._client = ActionClient(graph.node, SelfTrain, "/self_training/self_train")
        graph.wait(self._client.server_is_ready, "the action")
        self.feedback: list[Any] = []

    def send(self, *bags: str) -> Any:
        goal = self._kind.Goal(bags=list(bags), rounds=1, promote=True)
        return self._graph.asked(
            lambda: self._client.send_goal_async(goal, lambda m: self.feedback.append(m.feedback)), "the goal"
        )

    def result(self, handle: Any) -> Any:
        future = handle.get_result_async()
        return self._graph.wait(lambda: future.done() and future.result().result, "the result", patience_s=600)

    def ask(self, *bags: str) -> Any:
        return self.result(self.send(*bags))

    def begun(self) -> None:
        """Wait until the process reports what it does."""
        self._graph.wait(lambda: any(f.stage not in ("", "start") for f in self.feedback), "feedback")


@pytest.fixture
def goals(cell: Cell) -> Goals:
    return Goals(cell.graph)


def test_requests_that_cannot_be_served_get_a_sentence(cell: Cell, goals: Goals) -> None:
    status = cell.call("model_status")
    assert status.success and f"champion {cell.first[:12]}, candidate none" in status.message
    cell.graph.wait(lambda: cell.announced and cell.announced[-1].version == cell.first, "the announced model")
    answer = cell.call("promote", version="", store="")
    assert not answer.success and "has no candidate" in answer.message and answer.version == cell.first
    assert "no previous version" in cell.call("rollback").message
    result = goals.ask(str(cell.folder / "nowhere"))
    assert not result.success and result.code == "BAD_INPUT" and "nowhere" in result.message
    (cell.folder / "empty").mkdir()
    result = goals.ask(str(cell.folder / "empty"))
    assert not result.success and "empty" in result.message
    assert cell.store.current() == cell.first


def test_a_model_that_finds_nothing_is_rolled_back_by_itself(cell: Cell) -> None:
    cell.observed(20)
    bad = cell.bad
    cell.store.promote(bad)  # by hand, without a proof
    cell.used(bad)
    cell.graph.wait(lambda: cell.store.current() == cell.first, "the rollback", patience_s=300)
    status = cell.graph.wait(
        lambda: "ROLLED_BACK" in (s := cell.graph.status("self_training")).get("codes", "") and s, "the reason"
    )
    assert f"Model {bad[:12]} was rolled back to {cell.first[:12]}" in status["message"]
    cell.used(cell.first)
    assert cell.store.verdicts(bad)[-1]["decision"] == "refused"


def test_a_recording_becomes_a_candidate_while_poses_keep_coming(cell: Cell, goals: Goals) -> None:
    assert cell.call("record", data=False).success
    lost, before = cell.lost(), len(cell.frames)
    handle = goals.send()
    goals.begun()
    second = goals.ask()
    assert not second.success and second.code == "BUSY" and "one at a time" in second.message
    result = goals.result(handle)
    assert result.success and result.code == "OK", result.message
    assert cell.store.header(result.version)["parent"] == cell.first
    verdict = json.loads(result.metrics)
    assert verdict["decision"] == result.decision and verdict["champion"] == cell.first
    assert result.promoted == (result.decision == "promoted")
    stages = {f.stage for f in goals.feedback}
    assert {"round 1, teaching", "round 1, pose"} <= stages and any(stage.startswith("gate") for stage in stages)
    assert max(f.labels_kept for f in goals.feedback) >= 1
    during = list(cell.frames)[before:]
    assert during and all(frame.success for frame in during) and cell.lost() == lost
    assert cell.call("model_status").message.count(result.version[:12]) == 1


def test_a_cancelled_training_leaves_the_store_as_it_was(cell: Cell, goals: Goals) -> None:
    before = cell.store.versions(), cell.store.aliases()
    runs = sorted(path.name for path in (cell.store.directory / "self_training").iterdir())
    cell.graph.set_parameters("self_training", training__frames=5)  # another run than the one before
    handle = goals.send()
    goals.begun()
    cancelled = handle.cancel_goal_async()
    cell.graph.wait(cancelled.done, "the cancellation")
    result = goals.result(handle)
    assert not result.success and result.code == "CANCELLED" and "as it was" in result.message
    assert (cell.store.versions(), cell.store.aliases()) == before
    assert sorted(path.name for path in (cell.store.directory / "self_training").iterdir()) == runs


def test_live_frames_speak_against_a_poisoned_candidate_and_it_is_not_promoted(cell: Cell) -> None:
    poisoned = cell.worse("segmenter")
    cell.store.nominate(poisoned)
    assert cell.decided(poisoned)["decision"] == "refused"
    answer = cell.call("promote", version="", store="")
    assert not answer.success and "The gate has not promoted" in answer.message and "refused against" in answer.message
    assert cell.store.current() == answer.version == cell.first


def test_a_better_candidate_is_swapped_in_between_two_frames(cell: Cell) -> None:
    cell.store.promote(cell.bad)  # by hand, again: versions that were in use before are not watched
    cell.used(cell.bad)
    cell.store.nominate(cell.first)
    assert cell.decided(cell.first)["curve"][-1]["lower"] > 0  # live frames speak for it
    assert not cell.call("promote", version="", store="").success  # and labelled ones are missing
    proof = {"decision": "promoted", "champion": cell.bad, "reasons": ["It finds more."]}
    cell.store.record_verdict(cell.first, proof)
    lost, before = cell.lost(), len(cell.frames)
    answer = cell.call("promote", version="candidate", store="")
    assert answer.success and "is in use in bin_picking" in answer.message and answer.version == cell.first
    cell.used(cell.first)
    versions = [frame.model_version for frame in list(cell.frames)[before:]]
    assert set(versions) <= {cell.bad, cell.first} and cell.lost() == lost
    cell.graph.wait(lambda: cell.announced[-1].version == cell.first, "the announced model")
    assert cell.announced[-1].previous == cell.bad


def test_the_model_before_comes_back_on_request(cell: Cell) -> None:
    previous = cell.store.aliases()["previous"]
    answer = cell.call("rollback")
    assert answer.success and "is in use again in bin_picking" in answer.message, answer.message
    assert cell.store.current() == previous
    cell.used(previous)
    assert cell.call("rollback").success and cell.store.current() == cell.first
