import numpy as np
import pytest
import torch

from binpose_detection.losses import pairs_of_cells, segmentation_loss
from binpose_detection.network import OFFSET_UNIT_PX, OUTPUT_STRIDE, STEPS

SHAPE = (2, 12, 16)
CLASSES = 3


@pytest.fixture
def truth() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "classes": torch.randint(-1, CLASSES + 1, SHAPE, generator=generator),
        "targets": torch.randn((SHAPE[0], 3, *SHAPE[1:]), generator=generator),
        "valid_depth": torch.rand(SHAPE, generator=generator) > 0.3,
        "weights": torch.ones((SHAPE[0], 2, *SHAPE[1:])),
    }


def perfect(truth: dict[str, torch.Tensor], log_scale: float = -4.0) -> tuple[torch.Tensor, ...]:
    logits = 25.0 * torch.nn.functional.one_hot(truth["classes"].clamp(min=0), CLASSES + 1).permute(0, 3, 1, 2)
    centers = torch.cat([truth["targets"], torch.full((SHAPE[0], 1, *SHAPE[1:]), log_scale)], 1)
    affinities = torch.full((SHAPE[0], len(STEPS), *SHAPE[1:]), -25.0)
    for channel, (down, right) in enumerate(STEPS):
        _, same = pairs_of_cells(truth["classes"], truth["targets"], down, right)
        left = max(0, -right)
        affinities[:, channel, : same.shape[1], left : left + same.shape[2]] = 50.0 * same.float() - 25.0
    return logits, centers, affinities


def test_perfect_outputs_cost_nothing(truth) -> None:
    loss = segmentation_loss(*perfect(truth), **truth)
    assert loss["class"] < 1e-6 and loss["depth"] == 0 and loss["affinity"] < 1e-6
    # The likelihood of an exact offset is bounded by the least scale alone: 2 log_scale.
    assert loss["center"].item() == pytest.approx(-8, abs=1e-5)


@pytest.mark.parametrize("name", ["class", "center", "depth", "affinity"])
def test_errors_cost_the_more_the_larger_they_are(truth, name: str) -> None:
    costs = []
    for error in (0.0, 0.5, 2.0):
        logits, centers, affinities = perfect(truth, log_scale=0.0)
        if name == "class":
            logits = logits * (1 - error)
        if name == "affinity":
            affinities = affinities * (1 - error)
        channel = {"center": 0, "depth": 2}.get(name, 3)
        centers[:, channel] += error * (channel < 3)
        costs.append(segmentation_loss(logits, centers, affinities, **truth)[name].item())
    assert costs[0] < costs[1] < costs[2]


def test_the_best_scale_is_that_of_the_errors(truth) -> None:
    """A network that states how far off it is pays least for the truth: Laplace's scale is the mean distance."""
    error = 0.4
    costs = []
    scales = np.linspace(-3, 1, 41)
    for log_scale in scales:
        logits, centers, affinities = perfect(truth, float(log_scale))
        centers[:, 0] += error
        costs.append(segmentation_loss(logits, centers, affinities, **truth)["center"].item())
    assert scales[int(np.argmin(costs))] == pytest.approx(np.log(error / 2), abs=0.1)


def test_what_is_not_known_costs_nothing(truth) -> None:
    logits, centers, affinities = perfect(truth)
    ignored, background = truth["classes"] == -1, truth["classes"] == 0
    before = segmentation_loss(logits, centers, affinities, **truth)
    logits, centers, affinities = logits.clone(), centers.clone(), affinities.clone()
    affinities.permute(0, 2, 3, 1)[ignored] = 7.0
    logits.permute(0, 2, 3, 1)[ignored] = 7.0
    centers.permute(0, 2, 3, 1)[ignored | background] = 9.0
    centers[:, 2][~truth["valid_depth"]] = -5.0
    after = segmentation_loss(logits, centers, affinities, **truth)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)


@pytest.mark.parametrize("kind", ["random", "huge", "nothing known", "no part"])
def test_gradients_are_finite(truth, kind: str) -> None:
    scale = 1e4 if kind == "huge" else 1.0
    generator = torch.Generator().manual_seed(1)
    logits = (scale * torch.randn((SHAPE[0], CLASSES + 1, *SHAPE[1:]), generator=generator)).requires_grad_()
    centers = (scale * torch.randn((SHAPE[0], 4, *SHAPE[1:]), generator=generator)).requires_grad_()
    affinities = (scale * torch.randn((SHAPE[0], len(STEPS), *SHAPE[1:]), generator=generator)).requires_grad_()
    if kind in ("nothing known", "no part"):
        truth["classes"] = torch.full(SHAPE, -1 if kind == "nothing known" else 0)
    outputs = logits, centers, affinities
    total = sum(segmentation_loss(*outputs, **truth).values())
    total.backward()
    assert torch.isfinite(total) and all(torch.isfinite(values.grad).all() for values in outputs)
    assert bool(logits.grad.any()) == (kind != "nothing known")
    assert bool(centers.grad.any()) == bool(affinities.grad.any()) == (kind in ("random", "huge"))


def test_cells_of_one_centre_belong_together() -> None:
    """Two parts of one type side by side, a third of another type, and the background."""
    classes = torch.zeros((1, 20, 30), dtype=torch.int64)
    parts = torch.full((20, 30), -1)
    parts[4:14, 2:10], parts[4:14, 10:18], parts[4:14, 18:26] = 0, 1, 2
    classes[0][parts >= 0] = torch.tensor([1, 1, 2])[parts[parts >= 0]]
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    center = torch.tensor([[6.0, 9.0], [14.0, 9.0], [22.0, 9.0]])[parts] - torch.stack([columns, rows], -1)
    targets = torch.zeros((1, 3, 20, 30))
    targets[0, :2] = center.permute(2, 0, 1) * OUTPUT_STRIDE / OFFSET_UNIT_PX
    for down, right in STEPS:
        known, same = pairs_of_cells(classes, targets, down, right)
        for row in range(20 - down):
            for column in range(max(0, -right), 30 - max(0, right)):
                one, other = parts[row, column], parts[row + down, column + right]
                place = 0, row, column - max(0, -right)
                assert bool(known[place]) == bool(one >= 0 or other >= 0)
                assert bool(same[place]) == bool(one == other and one >= 0)
