"""A preset of ten lines in a file of its own is trained, stored, loaded and used like those of the package."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Detection
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.model_store import ModelStore
from binpose_estimator import (
    DefaultPreset,
    EstimatorConfig,
    PoseEstimator,
    PoseTrainingConfig,
    Preset,
    find_preset,
    known_presets,
    register_preset,
    train_estimator,
)
from binpose_estimator.presets import registry

NAMES = ("block", "rod", "bracket")
FILE = '''
from binpose_estimator import ConvolutionalBackbone, CropContent, HypothesesHead, PoseNetwork, Preset, register_preset

@register_preset
class ColorOnly(Preset):
    """Poses from colour and mask alone, without depth."""
    name, content = "color_only", CropContent(("rgb", "mask"))

    def network(self, classes: int) -> PoseNetwork:
        backbone = ConvolutionalBackbone(self.content.channels, classes, (8, 8, 8))
        return PoseNetwork(backbone, HypothesesHead(8, 8, classes, hypotheses=2))
'''.lstrip()


@pytest.fixture
def color_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Preset]:
    """The preset of the file, known for the length of a test."""
    monkeypatch.setattr(registry, "_PRESETS", dict(registry._PRESETS))
    path = tmp_path / "color_only.py"
    path.write_text(FILE)
    spec = importlib.util.spec_from_file_location("color_only", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    yield find_preset("color_only")()


def detections_of(view) -> list[Detection]:
    found = []
    for instance, name in enumerate(view.object_ids):
        mask = view.instance_ids == instance
        rows, columns = np.nonzero(mask)
        x0, y0, x1, y1 = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
        center = ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)
        found.append(Detection(name, 0.9, (x0, y0, x1, y1), mask[y0:y1, x0:x1], center))
    return found


def test_ten_lines_make_a_preset(color_only: Preset, views, objects, tmp_path: Path) -> None:
    assert len([line for line in FILE.splitlines() if line]) <= 10
    views = [replace(view, frame=replace(view.frame, depth_m=None)) for view in views]
    config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=color_only)
    training = PoseTrainingConfig(LoopConfig(steps=1, low_precision=False), batch_size=8)
    before = train_estimator(views, objects, config, training, seed=0)

    tensors, header = before.to_tensors()
    store = ModelStore(tmp_path / "model")
    store.save({f"estimator/{name}": value for name, value in tensors.items()}, {"config": {"estimator": header}})
    after = PoseEstimator.from_stored(store.load(), objects)

    assert after.config == config
    detections = detections_of(views[0])
    ours, theirs = (estimator(views[0].frame, detections) for estimator in (before, after))
    assert len(ours) == len(detections)
    for one, two, truth in zip(ours, theirs, views[0].T_cam_obj, strict=True):
        np.testing.assert_array_equal(one.T_cam_obj, two.T_cam_obj)
        assert 0 < one.score <= 1 and one.score == two.score
        assert np.abs(one.T_cam_obj[:3, 3] - truth[:3, 3]).max() < 0.15, "near the part, without any depth"


def test_an_unknown_preset_is_refused_with_the_known_ones(objects) -> None:
    with pytest.raises(BinposeError, match=r"preset 'voting' is unknown; known: .*default, .*; choose one"):
        PoseEstimator.from_tensors({}, {"objects": ["block"], "preset": "voting"}, objects)


def test_a_name_is_registered_once(color_only: Preset) -> None:
    assert known_presets() == sorted(known_presets()) and {"color_only", "default"} < {*known_presets()}
    with pytest.raises(BinposeError, match="'default' is registered twice"):
        register_preset(DefaultPreset)
