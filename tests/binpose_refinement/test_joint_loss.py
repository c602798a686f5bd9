"""The terms of the joint loss by hand, and its smallest value at the truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.rendering.differentiable import DifferentiableRendering, Occlusions
from binpose_refinement.joint_loss import JointLoss, Observed, color_loss, masked_median, overlap_loss, robust

SIDE = 12


def square(first: int, last: int) -> torch.Tensor:
    image = torch.zeros(1, SIDE, SIDE)
    image[:, 3:9, first:last] = 1.0
    return image


def drawn(mask: torch.Tensor, depth_m: float = 0.5) -> DifferentiableRendering:
    """A plate facing the camera."""
    normals = mask[..., None] * torch.tensor([0.0, 0.0, -1.0])
    points = torch.zeros(*mask.shape, 3)
    nowhere = Occlusions(*torch.zeros(2, 0, 3, dtype=torch.long), torch.zeros(0))
    return DifferentiableRendering(mask * depth_m, mask, points, normals, points[..., :0], mask.long() - 1, nowhere)


def seen(mask: torch.Tensor, depth_m: float = 0.5, behind_m: float = 0.7) -> Observed:
    rays = torch.zeros(1, SIDE, SIDE, 3)
    rays[..., 2] = 1.0
    chroma = mask[..., None] * torch.tensor([10.0, -40.0])
    return Observed(torch.where(mask > 0, depth_m, behind_m), mask, torch.zeros_like(mask), chroma, rays)


def test_overlap_by_hand() -> None:
    everywhere = torch.ones(1, SIDE, SIDE)
    assert overlap_loss(square(2, 8), square(2, 8), everywhere).item() == pytest.approx(0.0)
    assert overlap_loss(square(2, 8), square(5, 11), everywhere).item() == pytest.approx(1 - 3 / 9)
    hidden = 1 - square(8, 11)  # what another part covers is not missed
    assert overlap_loss(square(2, 8), square(5, 11), hidden).item() == pytest.approx(1 - 3 / 6)


def test_distances_are_quadratic_then_linear_then_constant() -> None:
    cost = robust(torch.tensor([0.0, 0.5, -1.0, 3.0, -100.0]), limit=6.0)
    torch.testing.assert_close(cost, torch.tensor([0.0, 0.125, 0.5, 2.5, 6.0]))


def test_colors_are_compared_with_the_most_alike_pixel_nearby() -> None:
    image = torch.zeros(1, SIDE, SIDE, 2)
    image[:, 4:8, 4:8] = 0.5
    everywhere = torch.ones(1, SIDE, SIDE)
    shifted, far = torch.roll(image, 1, 2), torch.roll(image, 3, 2)
    assert color_loss(image, shifted, everywhere, reach_px=1).item() == pytest.approx(0.0, abs=3e-3)
    assert color_loss(image, shifted, everywhere, reach_px=0).item() > 0.02
    assert color_loss(image, far, everywhere, reach_px=1).item() > color_loss(image, far, everywhere, reach_px=3).item()
    assert color_loss(image, image + 100, everywhere, 1).item() == pytest.approx(
        2.0
    )  # one way and the other, at most 1


def test_medians_are_those_of_the_mask() -> None:
    values = torch.arange(SIDE * SIDE, dtype=torch.float32).reshape(1, SIDE, SIDE, 1)
    assert masked_median(values, square(5, 6) > 0).item() in (5 * SIDE + 5, 6 * SIDE + 5)
    assert masked_median(values, torch.zeros(1, SIDE, SIDE, dtype=torch.bool)).item() == 0.0


def test_the_truth_costs_least() -> None:
    loss, mask = JointLoss(), square(3, 9)
    least = loss(drawn(mask), seen(mask)).item()
    assert least < 0.01
    for wrong in (drawn(square(4, 10)), drawn(mask, 0.503), drawn(mask, 0.497), drawn(square(3, 8))):
        assert loss(wrong, seen(mask)).item() > least + 0.02


def test_what_stands_in_front_says_nothing() -> None:
    """A rendering of which a neighbour hides a third costs nothing more; the same third in free space does."""
    whole, left = square(3, 9), square(3, 7)
    observed = seen(left)
    hidden = square(7, 9) > 0
    behind = replace(observed, depth_m=torch.where(hidden, 0.4, observed.depth_m))
    loss = JointLoss(color=0.0)
    assert loss(drawn(whole), behind).item() < 0.01
    assert loss(drawn(whole), observed).item() > 0.1
    assert np.isfinite(loss(drawn(torch.zeros_like(whole)), observed).item())
