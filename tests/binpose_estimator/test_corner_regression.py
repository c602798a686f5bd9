"""Corners are compared as points, and PnP turns them back into the pose that they were projected from."""

import numpy as np
import pytest
import torch

from binpose_core.geometry.transforms import exp_so3
from binpose_estimator import EstimatorConfig, Objective, PoseEstimator, build_network, find_preset
from binpose_estimator.box_corners import CornerPrediction
from binpose_estimator.crops import CropInputs
from binpose_estimator.distillation import distillation_objective
from binpose_estimator.distillation_config import DistillationConfig
from binpose_estimator.losses import PoseTargets
from binpose_estimator.self_supervision import self_supervision_objective
from binpose_estimator.self_supervision_config import SelfSupervisionConfig
from binpose_estimator.unlabelled_crops import UnlabelledBatch

COUNT = 6
PRESET = find_preset("bb8")((8, 8, 8))
CPU = torch.device("cpu")


@pytest.fixture
def batch() -> tuple[CropInputs, PoseTargets]:
    rng = np.random.default_rng(2)
    rotation = torch.from_numpy(exp_so3(rng.normal(size=(COUNT, 3))).astype(np.float32))
    center = torch.from_numpy(rng.normal(0, 0.05, (COUNT, 3)).astype(np.float32))
    every, grid = torch.ones(COUNT), torch.zeros(COUNT, 3, 16, 16)
    x = torch.rand(COUNT, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    inputs = CropInputs(PRESET.content, x, torch.full((COUNT,), 8.0))
    classes = torch.arange(COUNT) % 3
    return inputs, PoseTargets(classes, rotation, center, grid, grid[:, 0] > 0, every > 0, every)


def test_true_corners_give_the_true_pose_and_no_distance(batch, objects) -> None:
    inputs, targets = batch
    regression = PRESET.regression([*objects.values()], CPU)
    truth = regression.truth(inputs, targets)
    prediction = CornerPrediction(truth.values[:, 0, 0].clone().requires_grad_(), torch.zeros(COUNT))
    assert float(truth.distance(regression.points(prediction)).detach().max()) < 1e-5
    rotation, center = regression.poses(prediction, inputs, targets.classes)
    torch.testing.assert_close(rotation, targets.rotation, atol=1e-3, rtol=0)
    torch.testing.assert_close(center, targets.center, atol=5e-3, rtol=0)
    center.sum().backward()
    assert prediction.corners.grad.abs().sum((1, 2)).min() > 0, "PnP passes gradients on"


def test_corners_are_distilled_and_supervise_themselves(batch, objects) -> None:
    inputs, targets = batch
    config, parts = EstimatorConfig(tuple(objects), preset=PRESET), [*objects.values()]
    torch.manual_seed(1)
    teacher = PoseEstimator(build_network(config), config, objects)
    distilled = distillation_objective([teacher], config, parts, DistillationConfig(("a model",)))
    network = build_network(config).train()
    losses = distilled(network, batch)
    assert {"corners", "distillation", "hint"} <= set(losses)
    base = Objective(PRESET.loss(parts, CPU))
    seen = UnlabelledBatch(inputs, targets.classes)
    alone = self_supervision_objective(
        base, network, config, parts, lambda device: seen, SelfSupervisionConfig(True, occlusion=0.0)
    )
    losses = alone.consistency(network, seen)
    assert {"consistency", "masking", "perceptual"} <= set(losses)
    sum(losses.values()).backward()
    gradient = network.head.corners.weight.grad
    assert torch.isfinite(gradient).all() and gradient.any()
