"""The script of docs/python.md: a round of training on partial labels below the application, and its gate."""

import ast
import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from binpose_core.datasets.bop import BopWriter
from binpose_core.evaluation.golden import FOLDER
from binpose_core.frames.labels import hide_instances
from binpose_core.frames.types import LabelledView
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.model_store import ModelStore
from binpose_core.parts.catalogue import ObjectModel
from binpose_detection.training import SegmentationTrainingConfig
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_pipeline.bundle import PipelineBundle, save_bundle

SHORT = {
    "detector": SegmentationTrainingConfig(loop=LoopConfig(steps=2)),
    "pose": PoseTrainingConfig(loop=LoopConfig(steps=2)),
    "bins": (2, 1),
}


@pytest.fixture
def script(repository_root: Path, tmp_path: Path) -> Path:
    document = (repository_root / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    path = tmp_path / "one_round.py"
    path.write_text(code, encoding="utf-8")
    return path


@pytest.fixture
def module(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("one_round", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(networks: PipelineBundle, objects: Sequence[ObjectModel], scenes: Sequence[Any], tmp_path: Path) -> Path:
    """A store with untrained networks and golden frames."""
    directory = tmp_path / "store"
    save_bundle(networks, directory)
    with BopWriter(directory / FOLDER, "test", 0, objects) as writer:
        for scene in scenes:
            writer.write(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids)
    return directory


@pytest.fixture
def views(scenes: Sequence[Any]) -> list[LabelledView]:
    """Of each scene, one part is unknown."""
    whole = [LabelledView(s.frame, s.object_ids, s.T_cam_obj, s.instance_ids, np.ones(3)) for s in scenes]
    return [hide_instances(view, np.array([True, True, False])) for view in whole]


def test_the_script_is_short_and_needs_no_application(script: Path) -> None:
    code = script.read_text(encoding="utf-8")
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    names = [node.module for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom) and node.module]
    assert all(name.startswith("binpose_") and not name.startswith("binpose_ros") for name in names)


def test_a_model_that_finds_no_less_is_put_in_use(
    module: ModuleType, store: Path, views: list[LabelledView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binpose_pipeline.candidate.golden_score", lambda *_: 0.5)
    before = ModelStore(store).current()
    accepted, reason = module.one_round(store, views, **SHORT)
    assert reason == "" and accepted.golden == 0.5
    assert accepted.parent == before and ModelStore(store).current() == accepted.version != before


def test_a_model_that_finds_less_is_refused_and_the_old_one_stays(
    module: ModuleType, store: Path, views: list[LabelledView], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.25, 0.5])

    def scored(*_: Callable[..., Any]) -> float:
        return next(scores)

    monkeypatch.setattr("binpose_pipeline.candidate.golden_score", scored)
    before = ModelStore(store).current()
    in_use, reason = module.one_round(store, views, **SHORT)
    assert "scores 0.250 on the golden frames, the one in use 0.500" in reason
    assert in_use.version == before == ModelStore(store).current()
