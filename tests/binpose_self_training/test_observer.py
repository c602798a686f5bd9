"""Live frames: a new model that does worse is rolled back with the reason, and a candidate gathers its proof."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import ModelStore
from binpose_core.parts.catalogue import ALL_OBJECTS, ObjectModel
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_self_training.gate.anchors import PartComparison
from binpose_self_training.gate.verdict import Decision, GateVerdict
from binpose_self_training.observer import Event, Observer

from ..conftest import known_scene
from .gate.known_poses import reported


@pytest.fixture(scope="module")
def bins(objects: tuple[ObjectModel, ...]) -> list[Any]:
    return [known_scene(objects, np.random.default_rng(300 + seed)) for seed in range(40)]


class Cell:
    """A store with a good model in use, and an observer of live frames; a bad model finds nothing."""

    def __init__(self, directory: Path, bundle: PipelineBundle, bins: list[Any]) -> None:
        self.store = ModelStore(directory)
        self.good = self.store.save({"a": np.zeros(1)}, {})
        self.equal = self.store.save({"a": np.ones(1)}, {})
        self.bad = self.store.save({"a": np.full(1, 2.0)}, {})
        self.bins, self.number = bins, 0
        self.observer = Observer(
            directory, load=lambda store, version: replace(bundle, version=version), predict=self.predict
        )

    def predict(self, model: PipelineBundle, name: str, frame: RgbdFrame) -> TimedResult:
        if model.version == self.bad:
            return TimedResult([], {"pose": 0.1}, [], unexplained=0.9)
        scene = next(scene for scene in self.bins if scene.frame is frame)
        return TimedResult(reported(scene), {"pose": 0.1}, [], unexplained=0.1)

    def show(self, number: int = 1, seconds: float = 0.2, failed: Sequence[bool] = ()) -> list[Event]:
        """The events of the next frames."""
        found: list[Event] = []
        for _ in range(number):
            scene = self.bins[self.number % len(self.bins)]
            self.number += 1
            found += self.observer(f"frame{self.number}", scene.frame, seconds, failed)
        return found

    def until(self, kind: str, most: int = 40) -> Event:
        """Show frames until something happens."""
        for _ in range(most):
            for event in self.show():
                if event["event"] == kind and event.get("decision", "-"):
                    return event
        raise AssertionError(f"no {kind} in {most} frames")


@pytest.fixture
def cell(tmp_path: Path, bundle: PipelineBundle, bins: list[Any]) -> Cell:
    return Cell(tmp_path / "store", bundle, bins)


def kinds(events: list[Event]) -> set[str]:
    return {event["event"] for event in events}


def test_a_worse_model_is_rolled_back_with_the_reason(cell: Cell) -> None:
    cell.show(25)
    cell.store.promote(cell.bad)
    event = cell.until("rolled_back")
    assert cell.store.current() == cell.good and event["version"] == cell.bad
    assert f"{cell.bad[:12]} was rolled back to {cell.good[:12]}. The new model leaves the band" in event["message"]
    verdict = cell.store.verdicts(cell.bad)[-1]
    assert verdict["decision"] == "refused" and "leaves the band" in verdict["reasons"][0]
    assert "rolled_back" not in kinds(cell.show(40)), "the good model is not watched: it is known"


def test_an_equal_model_stays(cell: Cell) -> None:
    cell.show(25)
    cell.store.promote(cell.equal)
    events = cell.show(80)
    assert "watching" in kinds(events) and "rolled_back" not in kinds(events)
    assert cell.store.current() == cell.equal and events[-1]["watching"]


def test_a_slower_model_is_rolled_back(cell: Cell) -> None:
    cell.show(25, seconds=0.2)
    cell.store.promote(cell.equal)
    events = cell.show(60, seconds=0.5)
    reasons = [event["message"] for event in events if event["event"] == "rolled_back"]
    assert len(reasons) == 1 and "take longer" in reasons[0] and cell.store.current() == cell.good


def test_a_model_whose_picks_fail_is_rolled_back(cell: Cell) -> None:
    cell.show(25, failed=[False])
    cell.store.promote(cell.equal)
    events = cell.show(60, failed=[True])
    reasons = [event["message"] for event in events if event["event"] == "rolled_back"]
    assert len(reasons) == 1 and "failed picks" in reasons[0] and cell.store.current() == cell.good


def test_picks_before_the_first_frame_of_a_model_are_not_its_own(cell: Cell) -> None:
    cell.show(25, failed=[False])
    cell.store.promote(cell.equal)
    events = cell.show(1, failed=[True] * 200) + cell.show(40, failed=[False])
    assert "rolled_back" not in kinds(events) and cell.store.current() == cell.equal


def test_a_model_is_not_watched_without_a_band(cell: Cell) -> None:
    cell.show(5)
    cell.store.promote(cell.bad)
    events = cell.show(40)
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert len(notes) == 1 and "is not watched: 5 frames of the model in use; expected at least 20" in notes[0]
    assert cell.store.current() == cell.bad


def test_a_person_who_goes_back_to_a_known_model_is_not_overruled(cell: Cell) -> None:
    cell.show(25)
    cell.store.promote(cell.bad)
    cell.until("rolled_back")
    cell.show(25)
    cell.store.promote(cell.bad)
    assert "rolled_back" not in kinds(cell.show(60)) and cell.store.current() == cell.bad


def test_a_candidate_that_finds_less_is_refused_on_live_frames(cell: Cell) -> None:
    cell.store.nominate(cell.bad)
    event = cell.until("compared")
    assert event["decision"] == "refused" and event["frames"] < 40 and event["upper"] < 0
    assert not cell.store.promoted_over(cell.bad, cell.good)
    assert "compared" not in kinds(cell.show(5)), "it is decided"


def test_live_frames_alone_do_not_prove_that_no_part_is_lost(cell: Cell) -> None:
    cell.store.promote(cell.bad)
    cell.store.nominate(cell.good)
    event = cell.until("compared")
    assert event["decision"] == "undecided" and event["lower"] > 0 and "no labelled frames" in event["reasons"][0]
    verdict = cell.store.verdicts(cell.good)[-1]
    assert verdict["notes"] == ["The frames were live ones."] and len(verdict["curve"]) == event["frames"]
    assert not cell.store.promoted_over(cell.good, cell.bad)


def test_live_frames_complete_the_proof_of_the_gate(cell: Cell) -> None:
    cell.store.promote(cell.bad)
    cell.store.nominate(cell.good)
    parts = (PartComparison(ALL_OBJECTS, 30, 0, 30, 30, 0, 0, 0, 0.8, 1.0, "kept"),)
    gate = GateVerdict(Decision.UNDECIDED, ("Compare more frames.",), cell.bad, cell.good, parts=parts)
    cell.store.record_verdict(cell.good, gate.to_json())
    assert cell.until("compared")["decision"] == "promoted"
    assert cell.store.promoted_over(cell.good, cell.bad)
    assert cell.store.current() == cell.bad, "only a request promotes it"


def test_a_candidate_that_cannot_be_loaded_is_reported_once(cell: Cell) -> None:
    def load(store: Path, version: str) -> Any:
        if version == cell.equal:
            raise BinposeError("The weights are damaged.")
        return before(store, version)

    before: Callable[..., Any] = cell.observer._load
    cell.observer._load = load
    cell.store.nominate(cell.equal)
    notes = [event["message"] for event in cell.show(10) if event["event"] == "note"]
    assert notes == [f"Candidate {cell.equal[:12]} does not run beside: The weights are damaged."]
