"""Laws of every preset of the package, at toy sizes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError, NoDepth
from binpose_core.frames.types import Detection
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.model_store import ModelStore
from binpose_estimator import EstimatorConfig, PoseEstimator, PoseTrainingConfig, Preset, build_network, train_estimator
from binpose_estimator.conditioning import CONDITIONINGS
from binpose_estimator.crops import CropInputs
from binpose_estimator.presets import DcNetPreset, DefaultPreset, DenseFusionPreset, WeightedDenseFusionPreset

NAMES = ("block", "rod", "bracket")
PRESETS = (
    DefaultPreset((8, 8, 8), hypotheses=2),
    DcNetPreset(width=4, points=16),
    DenseFusionPreset(width=4, points=16),
    WeightedDenseFusionPreset(width=4, points=16),
)
each_preset = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)


def inputs_of(preset: Preset, batch: int) -> CropInputs:
    n = preset.content.size_px
    x = torch.rand(batch, preset.content.channels, n, n, generator=torch.Generator().manual_seed(0))
    return CropInputs(preset.content, x, torch.full((batch,), 10.0))


def detections_of(view) -> list[Detection]:
    masks = [view.instance_ids == instance for instance in range(len(view.object_ids))]
    centers = [np.argwhere(mask).mean(0)[::-1] for mask in masks]
    pairs = zip(view.object_ids, masks, centers, strict=True)
    return [Detection.from_mask(name, 0.9, mask, (float(c[0]), float(c[1])), float("nan")) for name, mask, c in pairs]


@each_preset
def test_settings_survive_json(preset: Preset) -> None:
    config = EstimatorConfig(NAMES, preset=preset)
    assert type(preset).from_settings(json.loads(json.dumps(preset.settings()))) == preset
    assert EstimatorConfig.from_header(json.loads(json.dumps(config.to_header()))) == config


@each_preset
def test_is_trained_stored_loaded_and_used(preset: Preset, views, objects, tmp_path: Path) -> None:
    """By the same loop, crops and inference class."""
    config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=preset)
    training = PoseTrainingConfig(LoopConfig(steps=1, low_precision=False), batch_size=8)
    before = train_estimator(views, objects, config, training, seed=0)
    tensors, header = before.to_tensors()
    store = ModelStore(tmp_path / "model")
    store.save({f"estimator/{name}": value for name, value in tensors.items()}, {"config": {"estimator": header}})
    after = PoseEstimator.from_stored(store.load(), objects)
    assert after.config == config
    detections = detections_of(views[0])
    ours, theirs = (estimator(views[0].frame, detections) for estimator in (before, after))
    assert len(ours) == len(detections) and before(views[0].frame, []) == []
    for one, two, truth in zip(ours, theirs, views[0].T_cam_obj, strict=True):
        np.testing.assert_array_equal(one.T_cam_obj, two.T_cam_obj)
        np.testing.assert_allclose(one.T_cam_obj[:3, :3] @ one.T_cam_obj[:3, :3].T, np.eye(3), atol=1e-5)
        assert 0 < one.score <= 1 and one.score == two.score
        assert np.abs(one.T_cam_obj[:3, 3] - truth[:3, 3]).max() < 0.15, "near the part"


@each_preset
def test_frames_without_depth_are_refused(preset: Preset, views, objects) -> None:
    config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=preset)
    frame = replace(views[0].frame, depth_m=None)
    with pytest.raises(NoDepth, match="has no depth, but this pose model needs it"):
        PoseEstimator(build_network(config), config, objects)(frame, detections_of(views[0]))


@each_preset
def test_the_forward_pass_can_be_exported(preset: Preset) -> None:
    """Its graph has no shape that depends on the data, and holds for other numbers of crops."""

    class Forward(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = preset.network(3)

        def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> dict[str, torch.Tensor]:
            return vars(self.network(crops, classes))

    torch.manual_seed(0)
    forward, batch = Forward().eval(), torch.export.Dim("batch", min=2, max=64)
    example = inputs_of(preset, 2).x, torch.tensor([0, 2])
    exported = torch.export.export(forward, example, dynamic_shapes=({0: batch}, {0: batch}))
    other = inputs_of(preset, 3).x, torch.tensor([1, 2, 0])
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(*other), forward(*other))


@each_preset
def test_predictions_are_float32_in_low_precision_too(preset: Preset) -> None:
    network, inputs = preset.network(3).eval(), inputs_of(preset, 2)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        values = vars(network(inputs.x, torch.tensor([0, 2])))
    assert {value.dtype for value in values.values()} <= {torch.float32, torch.bool}
    assert all(torch.isfinite(value).all() for value in values.values())


@each_preset
def test_no_crops_have_no_poses(preset: Preset) -> None:
    network, inputs = preset.network(3).eval(), inputs_of(preset, 0)
    with torch.inference_mode():
        prediction = network(inputs.x, torch.zeros(0, dtype=torch.long))
    poses = network.decode(prediction, inputs, [])
    assert len(poses.score) == len(poses.certainty) == len(prediction.match) == 0


@each_preset
@pytest.mark.parametrize("name", sorted({*CONDITIONINGS} - {"multi_output", "single"}))
def test_any_conditioning_can_be_chosen(preset: Preset, name: str) -> None:
    chosen = replace(preset, conditioning=name)
    network, inputs = chosen.network(3), inputs_of(preset, 2)
    prediction = network(inputs.x, torch.tensor([0, 2]))
    sum(value.sum() for value in vars(prediction).values() if value.requires_grad).backward()
    conditions = [module for n, module in network.named_modules() if n.endswith("condition")]
    assert len(conditions) >= 4
    for weight in (weight for module in conditions for weight in module.parameters()):
        assert weight.grad is not None and torch.isfinite(weight.grad).all()
    with pytest.raises(BinposeError, match="'telepathy' is unknown"):
        replace(preset, conditioning="telepathy")
    if preset.name != "default":
        with pytest.raises(BinposeError, match="needs last layers of each part"):
            replace(preset, conditioning="multi_output")
