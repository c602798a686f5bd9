"""Laws of the depth loss and of hypotheses with confidences."""

import numpy as np
import pytest
import torch

from binpose_core.geometry.transforms import exp_so3
from binpose_estimator.losses import part_tables
from binpose_estimator.normalized_renderer import NormalizedRenderer
from binpose_estimator.pose_hypotheses import (
    CodedPrediction,
    DepthLoss,
    HypothesisWeights,
    hypothesis_closeness,
    hypothesis_loss,
    hypothesis_mean,
)

from .test_box_corners import NAMES, truth_of


@pytest.fixture(scope="module")
def depth_loss(objects) -> DepthLoss:
    return DepthLoss(NormalizedRenderer([objects[name] for name in NAMES]), tolerance=0.15, size_px=32)


def turned(rotation: torch.Tensor, vectors) -> torch.Tensor:
    """Hypotheses (B, K, 3, 3): the rotations (B, 3, 3) after turns about the object's axes (K, 3), in radians."""
    return rotation[:, None] @ torch.from_numpy(exp_so3(np.array(vectors, float)).astype(np.float32))


def places(targets, inputs, count: int) -> torch.Tensor:
    place = targets.center[:, None].repeat(1, count, 1)
    place[..., 2] += inputs.distance[:, None]
    return place


def test_the_depth_loss_is_zero_at_the_truth_and_grows(depth_loss, rng: np.random.Generator) -> None:
    inputs, targets = truth_of(6, rng)
    hypotheses = turned(targets.rotation, [[0, 0, 0], [0.1, 0, 0], [0.5, 0, 0]])
    loss = depth_loss(hypotheses, places(targets, inputs, 3), inputs, targets)
    assert loss.shape == (6, 3) and loss[:, 0].max() < 1e-4 and loss.max() <= 1
    assert (loss[:, 1] > 0.01).all() and (loss[:, 2] > loss[:, 1]).all()


def test_symmetric_poses_have_the_same_depth_loss(depth_loss, rng: np.random.Generator) -> None:
    """Of a rod: the depth loss needs no statement of symmetries."""
    inputs, targets = truth_of(6, rng)
    rods = targets.classes == 1
    inputs, targets = inputs.take(rods), targets.take(rods)
    loss = depth_loss(turned(targets.rotation, [[0, 0, 0], [0, 0, 1.0]]), places(targets, inputs, 2), inputs, targets)
    assert loss[:, 1].max() < 0.06, "but for the edges of its facets"


def test_the_gradient_of_the_depth_loss_leads_to_the_truth(depth_loss, rng: np.random.Generator) -> None:
    inputs, targets = truth_of(12, rng)
    brackets = targets.classes == 2
    inputs, targets = inputs.take(brackets), targets.take(brackets)
    angle = torch.full((len(inputs),), 0.15, requires_grad=True)
    zero = torch.zeros_like(angle)
    cosine, sine = angle.cos(), angle.sin()
    about_z = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1], -1).view(-1, 3, 3)
    hypothesis = (targets.rotation @ about_z)[:, None]
    depth_loss(hypothesis, places(targets, inputs, 1), inputs, targets).sum().backward()
    assert (angle.grad > 0).all()


def test_each_hypothesis_has_its_weight_and_at_least_the_floor() -> None:
    error = torch.tensor([[1.0, 2.0, 4.0]], requires_grad=True)
    confidence = torch.tensor([[50.0, 0.0, 0.0]], requires_grad=True)
    mean = hypothesis_mean(error, confidence, floor=0.1)
    assert mean.item() == pytest.approx(0.8 * 1 + 0.1 * 2 + 0.1 * 4)
    mean.sum().backward()
    torch.testing.assert_close(error.grad, torch.tensor([[0.8, 0.1, 0.1]]))
    even = torch.zeros(1, 3, requires_grad=True)
    hypothesis_mean(error.detach(), even, floor=0.0).sum().backward()
    assert even.grad[0, 0] < 0 < even.grad[0, 2], "confidence moves to the hypothesis with the smallest error"


def test_hypotheses_that_are_alike_are_pushed_apart() -> None:
    same = turned(torch.eye(3)[None], [[0, 0, 0], [0, 0, 0], [0, 0, 0]])
    apart = turned(torch.eye(3)[None], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    assert hypothesis_closeness(same).item() == pytest.approx(1.0) and hypothesis_closeness(apart).item() == 0
    assert hypothesis_closeness(same[:, :1]).item() == 0


@pytest.mark.parametrize("depth_fraction", [0.0, 1.0])
def test_the_loss_is_least_at_the_truth(objects, depth_loss, rng: np.random.Generator, depth_fraction: float) -> None:
    inputs, targets = truth_of(6, rng)
    tables = part_tables([objects[name] for name in NAMES])
    losses = []
    for turn in (0.0, 0.3):
        rotation = turned(targets.rotation, [[turn, 0, 0]])
        empty = torch.zeros(6, 0)
        prediction = CodedPrediction(rotation, targets.center, torch.zeros(6, 1), torch.zeros(6), empty, empty)
        losses.append(
            hypothesis_loss(prediction, inputs, targets, tables, depth_loss, depth_fraction, HypothesisWeights())
        )
    assert losses[0]["pose"] < 0.002 < 0.05 < losses[1]["pose"]
    assert losses[0]["center"] < 1e-6
