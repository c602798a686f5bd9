"""Poses learn from points alone, and confidence follows the distance to what the points say."""

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import exp_so3
from binpose_estimator import CropContent, Objective, PosePrediction
from binpose_estimator.crops import CropInputs
from binpose_estimator.unlabelled_crops import UnlabelledBatch
from binpose_estimator.weak_loss import PartPoints, WeakLossConfig, WeakLossObjective, weak_loss

COUNT, SIZE = 3, 64
CONTENT = CropContent(("points", "valid", "mask"), size_px=SIZE)
CONFIG = WeakLossConfig(enabled=True)


@pytest.fixture
def seen(objects):
    """Crops whose cells hold points of brackets at known poses, the poses and the points of the parts."""
    rng = np.random.default_rng(3)
    model = PartPoints([*objects.values()], 256).of(torch.full((COUNT,), 2))
    rotation = torch.from_numpy(exp_so3(rng.normal(size=(COUNT, 3))).astype(np.float32))
    center = torch.from_numpy(rng.normal(0, 0.1, (COUNT, 3)).astype(np.float32))
    points = model @ rotation.transpose(1, 2) + center[:, None]
    x = torch.ones(COUNT, CONTENT.channels, SIZE, SIZE)
    x[:, :3] = points.transpose(1, 2).view(COUNT, 3, 16, 16).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return CropInputs(CONTENT, x, torch.full((COUNT,), 8.0)), rotation, center, model


def prediction_at(rotation: torch.Tensor, center: torch.Tensor, confidence: torch.Tensor) -> PosePrediction:
    grid = torch.zeros(len(rotation), 3, 16, 16)
    return PosePrediction(rotation, center, confidence, grid, grid[:, 0], confidence[:, 0])


def test_the_loss_moves_a_pose_to_the_points(seen) -> None:
    inputs, rotation, center, model = seen
    moved = (center[:, None] + 0.04).requires_grad_()
    optimizer = torch.optim.SGD([moved], lr=0.02)
    for _ in range(8):
        optimizer.zero_grad()
        found = prediction_at(rotation[:, None], moved, torch.full((COUNT, 1), 2.0))
        weak_loss(found, inputs, model, CONFIG).backward()
        optimizer.step()
    assert float((moved[:, 0] - center).norm(dim=1).detach().max()) < 0.6 * 0.04 * 3**0.5


def test_confidence_rises_at_the_better_hypothesis(seen) -> None:
    inputs, rotation, center, model = seen
    both = torch.stack([center, center + 0.15], 1)
    confidence = torch.zeros(COUNT, 2, requires_grad=True)
    weak_loss(
        prediction_at(rotation[:, None].expand(-1, 2, -1, -1), both, confidence), inputs, model, CONFIG
    ).backward()
    assert (confidence.grad[:, 0] < confidence.grad[:, 1]).all() and (confidence.grad[:, 0] < 0).all()


def test_crops_without_points_say_nothing(seen) -> None:
    inputs, rotation, center, model = seen
    empty = CropInputs(CONTENT, inputs.x * 0, inputs.distance)
    found = prediction_at(rotation[:, None], center[:, None], torch.zeros(COUNT, 1))
    assert float(weak_loss(found, empty, model, CONFIG)) == 0
    with pytest.raises(BinposeError, match="predicts Tensor; expected PosePrediction"):
        weak_loss(torch.zeros(COUNT), inputs, model, CONFIG)
    color = CropContent(("rgb",), size_px=SIZE)
    with pytest.raises(BinposeError, match="no points"):
        weak_loss(found, CropInputs(color, inputs.x[:, :3], inputs.distance), model, CONFIG)


def test_the_objective_adds_it_to_the_losses_of_labels(seen, objects) -> None:
    inputs, rotation, center, _ = seen
    batch = UnlabelledBatch(inputs, torch.full((COUNT,), 2))
    base = Objective(lambda prediction, inputs, targets: {"labelled": torch.zeros(())})
    objective = WeakLossObjective(base, [*objects.values()], lambda device: batch, WeakLossConfig(True, weight=2.0))

    class Known(torch.nn.Module):
        def forward(self, crops, classes):
            return prediction_at(rotation[:, None], center[:, None] + 0.04, torch.zeros(COUNT, 1))

    class Targets:
        classes = batch.classes

    losses = objective(Known(), (inputs, Targets()))
    single = weak_loss(Known()(None, None), inputs, PartPoints([*objects.values()], 256).of(batch.classes), CONFIG)
    assert set(losses) == {"labelled", "weak"}
    torch.testing.assert_close(losses["weak"], 2.0 * single)
