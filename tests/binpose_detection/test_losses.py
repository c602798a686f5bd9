import numpy as np
import pytest
import torch

from binpose_detection.losses import segmentation_loss

SHAPE = (2, 12, 16)
CLASSES = 3


@pytest.fixture
def truth() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "classes": torch.randint(-1, CLASSES + 1, SHAPE, generator=generator),
        "targets": torch.randn((SHAPE[0], 3, *SHAPE[1:]), generator=generator),
        "valid_depth": torch.rand(SHAPE, generator=generator) > 0.3,
    }


def perfect(truth: dict[str, torch.Tensor], log_scale: float = -4.0) -> tuple[torch.Tensor, torch.Tensor]:
    logits = 25.0 * torch.nn.functional.one_hot(truth["classes"].clamp(min=0), CLASSES + 1).permute(0, 3, 1, 2)
    return logits, torch.cat([truth["targets"], torch.full((SHAPE[0], 1, *SHAPE[1:]), log_scale)], 1)


def test_perfect_outputs_cost_nothing(truth) -> None:
    loss = segmentation_loss(*perfect(truth), **truth)
    assert loss["class"] < 1e-6 and loss["depth"] == 0
    # The likelihood of an exact offset is bounded by the least scale alone: 2 log_scale.
    assert loss["center"].item() == pytest.approx(-8, abs=1e-5)


@pytest.mark.parametrize("name", ["class", "center", "depth"])
def test_errors_cost_the_more_the_larger_they_are(truth, name: str) -> None:
    costs = []
    for error in (0.0, 0.5, 2.0):
        logits, centers = perfect(truth, log_scale=0.0)
        if name == "class":
            logits = logits * (1 - error)
        channel = {"class": 3, "center": 0, "depth": 2}[name]
        centers[:, channel] += error * (channel < 3)
        costs.append(segmentation_loss(logits, centers, **truth)[name].item())
    assert costs[0] < costs[1] < costs[2]


def test_the_best_scale_is_that_of_the_errors(truth) -> None:
    """A network that states how far off it is pays least for the truth: Laplace's scale is the mean distance."""
    error = 0.4
    costs = []
    scales = np.linspace(-3, 1, 41)
    for log_scale in scales:
        logits, centers = perfect(truth, float(log_scale))
        centers[:, 0] += error
        costs.append(segmentation_loss(logits, centers, **truth)["center"].item())
    assert scales[int(np.argmin(costs))] == pytest.approx(np.log(error / 2), abs=0.1)


def test_what_is_not_known_costs_nothing(truth) -> None:
    logits, centers = perfect(truth)
    ignored, background = truth["classes"] == -1, truth["classes"] == 0
    before = segmentation_loss(logits, centers, **truth)
    logits, centers = logits.clone(), centers.clone()
    logits.permute(0, 2, 3, 1)[ignored] = 7.0
    centers.permute(0, 2, 3, 1)[ignored | background] = 9.0
    centers[:, 2][~truth["valid_depth"]] = -5.0
    after = segmentation_loss(logits, centers, **truth)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)


@pytest.mark.parametrize("kind", ["random", "huge", "nothing known", "no part"])
def test_gradients_are_finite(truth, kind: str) -> None:
    scale = 1e4 if kind == "huge" else 1.0
    generator = torch.Generator().manual_seed(1)
    logits = (scale * torch.randn((SHAPE[0], CLASSES + 1, *SHAPE[1:]), generator=generator)).requires_grad_()
    centers = (scale * torch.randn((SHAPE[0], 4, *SHAPE[1:]), generator=generator)).requires_grad_()
    if kind in ("nothing known", "no part"):
        truth["classes"] = torch.full(SHAPE, -1 if kind == "nothing known" else 0)
    total = sum(segmentation_loss(logits, centers, **truth).values())
    total.backward()
    assert torch.isfinite(total) and torch.isfinite(logits.grad).all() and torch.isfinite(centers.grad).all()
    assert bool(logits.grad.any()) == (kind != "nothing known")
    assert bool(centers.grad.any()) == (kind in ("random", "huge"))
