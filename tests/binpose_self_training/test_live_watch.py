"""What the node remembers of the observer's reports, and which messages it hands over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.reasons import Reason
from binpose_core.frames.types import Grasp, Hypothesis
from binpose_recording.config import Role
from binpose_recording.frame_bag import frame_messages
from binpose_recording.messages import Topic
from binpose_ros.grasp_messages import grasp_array
from binpose_ros.pick_messages import PICK_OUTCOME, pick_message
from binpose_ros.stamps import Header
from binpose_self_training import live_watch
from binpose_self_training.live_frames import LiveFrame
from binpose_self_training.live_watch import LiveWatch
from binpose_self_training.stage_names import round_of, stage_of_round
from binpose_self_training.trainer import TrainingSettings

from ..binpose_ros.conftest import rosbags_types

STAMP_NS = 10**9
GRASP = Grasp("rod", np.eye(4), 0.01, 0.9, np.eye(4), np.eye(4), 0, pose=Hypothesis("rod", np.eye(4), 0.8))
POSES = Topic("/refinement/poses", "vision_msgs/msg/Detection3DArray", Role.RESULT)


class Process:
    """Takes what the observer would."""

    def __init__(self, store: Path, config: str, threads: int, on_event: Callable[[dict[str, Any]], object]) -> None:
        self.report, self.closed = on_event, False
        self.offers: list[tuple[LiveFrame, Callable[[], float]]] = []

    def offer(self, frame: LiveFrame, seconds: Callable[[], float]) -> bool:
        self.offers.append((frame, seconds))
        return True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> LiveWatch:
    monkeypatch.setattr(live_watch, "ObserverProcess", Process)
    logged: list[str] = []
    made = LiveWatch(logged.append)
    made.logged = logged  # type: ignore[attr-defined]
    return made


def show(watch: LiveWatch, frame: Any) -> None:
    for message, topic in frame_messages(frame):
        watch.message(topic, message.data, STAMP_NS)


def test_frames_are_offered_with_the_time_of_their_poses(watch: LiveWatch, scenes: Any) -> None:
    frame = replace(scenes[0].frame, stamp_ns=STAMP_NS)
    show(watch, frame)  # before the start
    watch.start(Path("store"), 1, TrainingSettings(), POSES.name)
    process: Any = watch._process
    show(watch, frame)
    ((offered, seconds),) = process.offers
    assert offered.stamp_ns == STAMP_NS and seconds() != seconds()
    color = next(message for message, topic in frame_messages(frame) if topic.role is Role.COLOR)
    watch.message(POSES, color.data, STAMP_NS + 3 * 10**8)  # only its header counts
    assert seconds() == pytest.approx(0.3)
    watch.close()
    show(watch, frame)
    assert process.closed and len(process.offers) == 1


def test_a_rollback_is_a_problem_until_another_model_is_watched(watch: LiveWatch) -> None:
    watch.start(Path("store"), 1, TrainingSettings(), "")
    report: Any = watch._process.report  # type: ignore[union-attr]
    assert watch.problems() == []
    report({"event": "rolled_back", "version": "b" * 64, "champion": "a" * 64, "message": "It finds less."})
    (problem,) = watch.problems()
    assert problem.reason is Reason.ROLLED_BACK and problem.message == "It finds less."
    report({"event": "observed", "champion": "a" * 64, "frames": 7, "watching": False})
    assert len(watch.problems()) == 1 and watch.values()["live_frames"] == "7"
    report({"event": "watching", "band": {}})
    assert watch.problems() == []
    compared = {"event": "compared", "candidate": "c" * 64, "frames": 4, "lower": -0.25, "upper": 0.5, "decision": ""}
    report(compared)
    assert watch.values()["live_shadow"] == f"{'c' * 12}: 4 frames, advantage -0.250 to 0.500"
    report({**compared, "decision": "refused"})
    assert watch.logged == ["It finds less.", f"Candidate {'c' * 12} is refused."]  # type: ignore[attr-defined]


def test_the_name_of_a_stage_holds_its_round() -> None:
    assert round_of(stage_of_round(12, "teaching")) == 12
    assert round_of("gate, frames") == round_of("around 3, pose") == 0


def test_outcomes_of_picks_go_with_the_next_frame_that_is_taken(
    watch: LiveWatch, scenes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    types = rosbags_types()
    frame, picks = replace(scenes[0].frame, stamp_ns=STAMP_NS), Topic("/pick_outcomes", PICK_OUTCOME, Role.CONTEXT)
    array = grasp_array(Header(STAMP_NS, "camera"), [GRASP], "abcdef012345", np.eye(4), types)
    held, lost = (
        types.serialized(pick_message(array, array.grasps[0], 0.01, succeeded, "END", types))
        for succeeded in (True, False)
    )
    watch.message(picks, lost, STAMP_NS)  # before the start
    watch.start(Path("store"), 1, TrainingSettings(), "")
    process: Any = watch._process
    for data in (held, lost, held[:40]):  # a damaged one is left out
        watch.message(picks, data, STAMP_NS)
    monkeypatch.setattr(process, "offer", lambda frame, seconds: False)  # busy
    show(watch, frame)
    monkeypatch.undo()
    show(watch, frame)
    show(watch, frame)
    assert [offered.failed for offered, _ in process.offers] == [(False, True), ()]
