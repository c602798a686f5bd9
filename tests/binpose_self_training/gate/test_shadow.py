"""The evidence of a shadow run is that of the gate, and survives a restart."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BadFile
from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.gate import Gate
from binpose_self_training.gate.shadow import Shadow, ShadowConfig, state_path

from ...conftest import known_scene
from .known_poses import reported

EVERY = ShadowConfig(every=1)


@pytest.fixture(scope="module")
def bins(objects: tuple[ObjectModel, ...]) -> list[Any]:
    return [known_scene(objects, np.random.default_rng(200 + seed)) for seed in range(6)]


@pytest.fixture
def models(bundle: PipelineBundle) -> tuple[PipelineBundle, PipelineBundle]:
    return replace(bundle, version="a" * 64), replace(bundle, version="b" * 64)


@pytest.fixture
def make(models: Any, bins: list[Any], tmp_path: Path) -> Callable[..., Shadow]:
    def predict(model: PipelineBundle, name: str, frame: RgbdFrame) -> TimedResult:
        return TimedResult(reported(next(s for s in bins if s.frame is frame)), {"pose": 0.1}, [])

    def call(config: ShadowConfig = EVERY, gate: GateConfig | None = None) -> Shadow:
        return Shadow(*models, state_path(tmp_path, models[1].version), gate, config, predict)

    return call


def champion(scene: Any) -> TimedResult:
    return TimedResult(reported(scene)[:1], {"pose": 0.1}, [])


def run(shadow: Shadow, bins: list[Any]) -> list[bool]:
    return [shadow(f"frame{i}", scene.frame, champion(scene)) for i, scene in enumerate(bins)]


def test_every_nth_frame_is_compared(make: Callable[..., Shadow], bins: list[Any]) -> None:
    shadow = make(ShadowConfig(every=3))
    assert run(shadow, bins) == [True, False, False, True, False, False]
    assert [one.name for one in shadow.comparison.compared] == ["frame0", "frame3"]


def test_an_interrupted_run_ends_like_an_uninterrupted_one(make: Callable[..., Shadow], bins: list[Any]) -> None:
    whole = make()
    run(whole, bins)
    whole.path.unlink()
    first = make()
    run(first, bins[:3])
    second = make()
    assert second.frames == 3 and len(second.comparison.compared) == 3
    assert run(second, bins) == [False, False, False, True, True, True], "frames that were compared do not count twice"
    assert second.comparison.compared[3:] != whole.comparison.compared[:3]
    assert second.comparison.bounds == whole.comparison.bounds
    assert second.comparison.points == whole.comparison.points


def test_another_pair_begins_anew(make: Callable[..., Shadow], bins: list[Any]) -> None:
    run(make(), bins[:2])
    assert len(make().comparison.compared) == 2
    assert len(make(gate=GateConfig(seed=5)).comparison.compared) == 0


def test_the_evidence_leads_to_a_verdict_of_the_gate(make: Callable[..., Shadow], models: Any, bins: list[Any]) -> None:
    shadow = make()
    run(shadow, bins)
    verdict = Gate()(*models, (), gathered=shadow.comparison)
    assert len(verdict.curve) == len(bins) and verdict.decision == "undecided"
    assert verdict.curve[-1].lower == shadow.comparison.bounds.lower


def test_picks_are_kept_over_a_restart(make: Callable[..., Shadow], bins: list[Any]) -> None:
    pick = PickOutcome(bins[0].object_ids[1], bins[0].T_cam_obj[1], True)
    make()("frame0", bins[0].frame, champion(bins[0]), [pick])
    outcomes = make().comparison.outcomes()
    assert outcomes is not None and (outcomes.picks, outcomes.gained, outcomes.lost) == (1, 1, 0)


@pytest.mark.parametrize("damage", ["", "[]", "{}", {"compared": [{"name": 3}]}, {"compared": 3}, {"frames": "x"}])
def test_a_damaged_state_is_named(make: Callable[..., Shadow], bins: list[Any], damage: Any) -> None:
    shadow = make()
    run(shadow, bins[:1])
    text = damage if isinstance(damage, str) else json.dumps({**json.loads(shadow.path.read_text()), **damage})
    shadow.path.write_text(text)
    with pytest.raises(BadFile, match=shadow.path.name):
        make()
