"""Hint training in small: adapters are optimised together with the network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from binpose_core.learning.training_loop import LoopConfig
from binpose_estimator import DefaultPreset, EstimatorConfig, Objective, PoseTrainingConfig, train_estimator
from binpose_estimator.features import tapped

NAMES = ("block", "rod", "bracket")
CONFIG = EstimatorConfig(NAMES, gsd_m=1e-3, preset=DefaultPreset((8, 8, 8), hypotheses=2))
STAGE = "backbone.stages.1"


class Hints(Objective):
    """The features of a stage, through an adapter, are to be those of a teacher."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__(lambda prediction, inputs, targets: {})
        torch.manual_seed(7)
        self.adapter = nn.Conv2d(8, 8, 1)
        self.teacher = (teacher.eval(),)  # no part of what is optimised
        self.told: list[float] = []

    def forward(self, network, batch):
        found = []
        for model in (self.teacher[0], network):
            with tapped(model, [STAGE]) as features:
                model(batch[0].x, batch[1].classes)
            found.append(features[STAGE])
        hint = (self.adapter(found[1]) - found[0].detach()).square().mean()
        self.told.append(float(hint.detach()))
        return {"hint": hint}


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(5)
    return CONFIG.preset.network(len(NAMES))


def trained(views, objects, objective: Objective, steps: int, checkpoint: Path | None = None):
    loop = LoopConfig(steps=steps, low_precision=False, learning_rate=1e-2, warmup=0.0)
    settings = PoseTrainingConfig(loop, batch_size=8)
    return train_estimator(views, objects, CONFIG, settings, 1, checkpoint, objective=objective)


def test_network_and_adapter_learn_together(views, objects, teacher: nn.Module) -> None:
    objective = Hints(teacher)
    begun, frozen = objective.adapter.weight.detach().clone(), [w.detach().clone() for w in teacher.parameters()]
    estimator = trained(views, objects, objective, 12)
    assert np.mean(objective.told[-3:]) < 0.7 * objective.told[0]
    assert not torch.equal(objective.adapter.weight, begun)
    for before, after in zip(frozen, teacher.parameters(), strict=True):
        assert torch.equal(before, after)
    weights = estimator.to_tensors()[0]
    assert set(weights) == set(teacher.state_dict()), "the estimator has no adapters"
    torch.manual_seed(1)
    start = CONFIG.preset.network(len(NAMES)).state_dict()
    changed = {
        name for name, value in weights.items() if name.endswith("weight") and (value != start[name].numpy()).any()
    }
    assert {"backbone.stages.0.down.0.weight", "backbone.stages.1.down.0.weight"} <= changed


def test_the_adapter_is_resumed_too(views, objects, teacher: nn.Module, tmp_path: Path) -> None:
    whole = Hints(teacher)
    trained(views, objects, whole, 2, tmp_path / "checkpoint.safetensors")
    again = Hints(teacher)
    trained(views, objects, again, 2, tmp_path / "checkpoint.safetensors")
    assert not again.told, "nothing is left to learn"
    torch.testing.assert_close(again.adapter.weight, whole.adapter.weight)
