from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.geometry.transforms import random_rotation
from binpose_estimator.anchor_head import AnchorPrediction
from binpose_estimator.anchor_loss import AnchorLoss, anchor_disorder, direction_loss
from binpose_estimator.anchors import icosahedral_rotations
from binpose_estimator.losses import PoseTargets, equivalent_poses
from binpose_estimator.model_distance import surface_tables

ANCHORS = torch.tensor(icosahedral_rotations(), dtype=torch.float32)


@pytest.fixture(scope="module")
def loss(objects) -> AnchorLoss:
    return AnchorLoss(surface_tables(list(objects.values()), 64))


@pytest.fixture
def targets(rng) -> PoseTargets:
    """One crop of each of the three parts."""
    rotation, center = (torch.from_numpy(v).float() for v in (random_rotation(rng, (3,)), rng.normal(0, 0.05, (3, 3))))
    known, empty = torch.ones(3, dtype=torch.bool), torch.zeros(3, 16, 16, dtype=torch.bool)
    return PoseTargets(torch.arange(3), rotation, center, torch.zeros(3, 3, 16, 16), empty, known, torch.ones(3))


def saying(rotation: torch.Tensor, center: torch.Tensor, sigma: float, rng) -> AnchorPrediction:
    """A prediction whose anchors all have the pose (3, 3, 3) and (3, 3)."""
    points = torch.from_numpy(rng.normal(0, 0.4, (3, 10, 3))).float()
    directions = torch.nn.functional.normalize(center[:, None] - points, dim=-1)
    uncertainty = torch.full((3, 60), sigma)
    seen = torch.ones(3, dtype=torch.bool)
    return AnchorPrediction(
        rotation[:, None].repeat(1, 60, 1, 1), uncertainty, points, directions, seen, torch.zeros(3)
    )


def test_the_truth_and_all_equivalent_poses_cost_nothing_but_the_logarithm(loss, targets, rng) -> None:
    """ln sigma + 0 / sigma; also where a symmetry moves the centre, which the directions then aim at."""
    truth = equivalent_poses(targets, loss.tables.parts)
    for chosen in ([0, 0, 0], [1, 5, 0], [2, 17, 0]):
        b = torch.arange(3)
        said = saying(truth.rotation[b, chosen], truth.center[b, chosen], 0.1, rng)
        found = loss(said, targets, ANCHORS)
        assert found["rotation"].item() == pytest.approx(np.log(0.1), abs=1e-4)
        assert found["center"].item() == pytest.approx(0, abs=1e-6)


def test_the_best_uncertainty_is_the_distance(loss, targets, rng) -> None:
    """Equation 8 has its minimum, ln L + 1, at sigma = L."""
    wrong = targets.rotation @ torch.from_numpy(random_rotation(rng)).float()
    sigmas = np.geomspace(0.1, 1, 60)
    alone = targets.take(torch.tensor([2]))
    said = saying(wrong, targets.center, 1.0, rng).take(torch.tensor([2]))
    costs = [loss(replace(said, uncertainty=torch.full((1, 60), s)), alone, ANCHORS)["rotation"].item() for s in sigmas]
    points = loss.tables.points[2]
    distance = (points @ (wrong[2] - targets.rotation[2]).T).norm(dim=-1).mean().item()
    assert sigmas[int(np.argmin(costs))] == pytest.approx(distance, rel=0.04)
    assert min(costs) == pytest.approx(np.log(distance) + 1, abs=1e-3)


def test_anchors_in_their_order_cost_nothing(rng) -> None:
    small = torch.matrix_exp(0.2 * torch.randn(60, 3, 3, generator=torch.Generator().manual_seed(0)).triu(1))
    near = torch.linalg.qr(small).Q
    near = near * near.diagonal(dim1=1, dim2=2).sign()[:, None]
    assert anchor_disorder((near @ ANCHORS)[None], ANCHORS).max() < 1e-6
    swapped = ANCHORS[torch.arange(60).roll(1)]
    disorder = anchor_disorder(swapped[None], ANCHORS)
    assert (disorder > 0.15).all(), "a whole anchor apart: 1 - cos(36 degrees) and more"


def test_the_direction_loss_is_equation_9(rng) -> None:
    said = saying(torch.eye(3).expand(3, 3, 3), torch.zeros(3, 3), 0.1, rng)
    flipped = replace(said, directions=-said.directions)
    torch.testing.assert_close(direction_loss(said, torch.zeros(3, 3)), torch.zeros(3, 10))
    torch.testing.assert_close(direction_loss(flipped, torch.zeros(3, 3)), torch.full((3, 10), 1.5))


def test_crops_without_points_teach_the_match_alone(loss, targets, rng) -> None:
    wrong = targets.rotation @ torch.from_numpy(random_rotation(rng)).float()
    said = replace(saying(wrong, targets.center + 1, 0.1, rng), seen=torch.zeros(3, dtype=torch.bool))
    found = loss(said, targets, ANCHORS)
    assert found["match"] > 0 and not any(found[name] for name in ("rotation", "center", "anchors"))
