from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.geometry.transforms import random_rotation
from binpose_estimator.losses import PoseTargets, equivalent_poses
from binpose_estimator.model_distance import surface_tables
from binpose_estimator.pixel_head import PixelPoses
from binpose_estimator.pixel_loss import PixelLoss

W, POINTS = 0.015, 5


@pytest.fixture(scope="module")
def loss(objects) -> PixelLoss:
    return PixelLoss(surface_tables(list(objects.values()), 64), W, refinement_margin=0.3)


@pytest.fixture
def targets(rng) -> PoseTargets:
    """One crop of each of the three parts."""
    rotation, center = (torch.from_numpy(v).float() for v in (random_rotation(rng, (3,)), rng.normal(0, 0.05, (3, 3))))
    known, empty = torch.ones(3, dtype=torch.bool), torch.zeros(3, 16, 16, dtype=torch.bool)
    return PoseTargets(torch.arange(3), rotation, center, torch.zeros(3, 3, 16, 16), empty, known, torch.ones(3))


def saying(rotation: torch.Tensor, center: torch.Tensor, logit: float = 0.0) -> PixelPoses:
    """A prediction whose points and refinements all have the pose."""
    R, c = rotation[:, None], center[:, None]
    seen, match = torch.ones(3, dtype=torch.bool), torch.zeros(3)
    logits = torch.full((3, POINTS), logit)
    expand = lambda number: (R.expand(-1, number, -1, -1), c.expand(-1, number, -1))  # noqa: E731
    return PixelPoses(*expand(POINTS), logits, *expand(2), seen, match)


def test_the_truth_and_all_equivalent_poses_cost_the_confidence_alone(loss, targets) -> None:
    truth, b = equivalent_poses(targets, loss.tables.parts), torch.arange(3)
    for chosen in ([0, 0, 0], [1, 5, 0], [2, 17, 0]):
        found = loss(saying(truth.rotation[b, chosen], truth.center[b, chosen]), targets)
        assert found["pose"].item() == pytest.approx(W * np.log(2), abs=1e-5)
        assert found["refinement"].item() == pytest.approx(0, abs=1e-5)
    certain = loss(saying(targets.rotation, targets.center, 20.0), targets)
    assert certain["pose"].item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("error", [0.03, 0.1])
def test_the_best_confidence_is_w_over_the_error(loss, targets, error: float) -> None:
    """L c - w log c (Mu et al., eq. 4) has its minimum at c = w / L; an error of 2 w is one half."""
    shifted = targets.center + torch.tensor([error, 0.0, 0.0])
    confidences = np.linspace(0.01, 0.99, 99)
    only = replace(targets, matches=torch.tensor([False, False, True]))  # no symmetry brings the bracket nearer
    costs = [
        loss(saying(targets.rotation, shifted, float(np.log(c / (1 - c)))), only)["pose"].item() for c in confidences
    ]
    assert confidences[int(np.argmin(costs))] == pytest.approx(W / error, abs=0.011)


def test_the_refinement_learns_from_poses_within_its_margin(loss, targets) -> None:
    near, far = (saying(targets.rotation, targets.center + shift) for shift in (0.1, 0.5))
    assert loss(near, targets)["refinement"] > 0.1 and not loss(far, targets)["refinement"]


def test_a_weight_scales_the_loss(loss, targets) -> None:
    said = saying(targets.rotation, targets.center + 0.05)
    whole, half = (loss(said, replace(targets, weight=torch.full((3,), w))) for w in (1.0, 0.5))
    for name, value in whole.items():
        torch.testing.assert_close(half[name], 0.5 * value)
    blind = loss(replace(said, seen=torch.zeros(3, dtype=torch.bool)), targets)
    assert not blind["pose"] and not blind["refinement"] and blind["match"] > 0
