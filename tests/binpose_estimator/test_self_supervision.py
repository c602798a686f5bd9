"""Losses without poses: what is masked, what is rendered, and where the gradients lead."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from binpose_estimator import CropContent, EstimatorConfig, Objective, PosePrediction
from binpose_estimator.crops import CropInputs
from binpose_estimator.head import rotation_from_6d
from binpose_estimator.losses import PoseTargets
from binpose_estimator.presets import DefaultPreset
from binpose_estimator.rendered_crops import CropRenderer
from binpose_estimator.self_supervision import (
    PATCH,
    SelfSupervisionObjective,
    noise_patches,
    self_supervision_objective,
)
from binpose_estimator.self_supervision_config import SelfSupervisionConfig
from binpose_estimator.unlabelled_crops import UnlabelledBatch

NAMES = ("bracket", "block")
CONTENT = CropContent(("rgb", "mask"), size_px=32)
COUNT = 4


class ColorPreset(DefaultPreset):
    """The default's head on colour and mask."""

    name, content, hint_layer = "color_of_a_test", CONTENT, "features"


CONFIG = EstimatorConfig(NAMES, preset=ColorPreset())
SETTINGS = SelfSupervisionConfig(enabled=True, occlusion=0.0)


class Free(nn.Module):
    """Predicts its own parameters, one pose per crop, and remembers what it saw."""

    def __init__(self, rotation: torch.Tensor, center: torch.Tensor) -> None:
        super().__init__()
        self.rotation, self.center = rotation, nn.Parameter(center.clone())
        self.features = nn.Conv2d(CONTENT.channels, 6, 5, padding=2)
        nn.init.constant_(self.features.weight, 0.02)  # blurs
        self.seen: list[torch.Tensor] = []

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
        self.seen.append(crops.detach())
        self.features(crops)
        zeros, count = torch.zeros(len(crops), 1), len(crops)
        grid = torch.zeros(count, 3, 8, 8)
        return PosePrediction(self.rotation[:, None], self.center[:, None], zeros, grid, grid[:, 0], zeros[:, 0])


@pytest.fixture
def parts(objects):
    return [objects[name] for name in NAMES]


@pytest.fixture
def truth() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Classes, rotations and centres."""
    random = torch.Generator().manual_seed(4)
    sixd = torch.randn(COUNT, 6, generator=random)
    return torch.arange(COUNT) % 2, rotation_from_6d(sixd), 0.05 * torch.randn(COUNT, 3, generator=random)


@pytest.fixture
def image(parts, truth) -> UnlabelledBatch:
    """Renderings of the true poses before a dark background, as if a camera had taken them."""
    classes, rotation, center = truth
    drawn = CropRenderer(parts, CONTENT)(classes, rotation, center, torch.full((COUNT,), 8.0))
    background = torch.tensor([0.1, 0.1, 0.1, 0.0])[:, None, None]  # a true mask
    x = torch.where(drawn.silhouette > 0, drawn.inputs.x, background)
    return UnlabelledBatch(CropInputs(CONTENT, x, drawn.inputs.distance), classes)


def objective_of(parts, start: nn.Module, image: UnlabelledBatch, settings: SelfSupervisionConfig):
    base = Objective(lambda prediction, inputs, targets: {"labelled": torch.zeros(())})
    return self_supervision_objective(base, start, CONFIG, parts, lambda device: image, settings)


def labelled(image: UnlabelledBatch) -> tuple[CropInputs, PoseTargets]:
    return image.inputs, replace_targets(image)


def replace_targets(image: UnlabelledBatch) -> PoseTargets:
    every = torch.ones(COUNT)
    grid = torch.zeros(COUNT, 3, 8, 8)
    return PoseTargets(
        image.classes, torch.eye(3).expand(COUNT, 3, 3), torch.zeros(COUNT, 3), grid, grid[:, 0] > 0, every > 0, every
    )


def test_the_gradient_moves_wrong_poses_to_the_image(parts, truth, image) -> None:
    """The rendering carries it, without any pose of the image. The silhouettes of the blocks are less distinct."""
    classes, rotation, center = truth
    torch.manual_seed(2)
    network = Free(rotation, center + torch.tensor([0.08, -0.06, 0.0]))
    objective = objective_of(parts, network, image, replace(SETTINGS, supervised=0.0))
    optimizer = torch.optim.Adam([network.center], lr=0.01)
    brackets = classes == 0

    def error() -> float:
        return float((network.center - center)[brackets, :2].norm(dim=1).detach().mean())

    began = error()
    for _ in range(10):
        optimizer.zero_grad()
        losses = objective.consistency(network, image)
        sum(losses.values()).backward()
        optimizer.step()
    assert error() < 0.4 * began


def test_the_second_look_is_masked_by_the_silhouette_of_the_first(parts, truth, image) -> None:
    classes, rotation, center = truth
    network = Free(rotation, center + 0.1)
    objective_of(parts, network, image, replace(SETTINGS, perceptual=0.0, supervised=0.0)).consistency(network, image)
    shown, masked, rendered = network.seen
    silhouette = CropRenderer(parts, CONTENT)(classes, rotation, center + 0.1, image.inputs.distance).silhouette
    torch.testing.assert_close(shown, image.inputs.x)
    torch.testing.assert_close(masked, image.inputs.x * silhouette)
    assert not (rendered * (1 - silhouette)).any() and (rendered[:, 3:] == silhouette).all()


def test_patches_of_noise_are_not_in_the_masked_image(parts, truth, image) -> None:
    _, rotation, center = truth
    network = Free(rotation, center)
    settings = replace(SETTINGS, occlusion=1.0, perceptual=0.0, supervised=0.0)
    objective_of(parts, network, image, settings).consistency(network, image)
    noise = (network.seen[0] != image.inputs.x).any(1)
    assert noise.flatten(1).any(1).all(), "every crop has a patch"
    assert not network.seen[1].permute(0, 2, 3, 1)[noise].any()


def test_a_network_that_ignores_its_input_is_consistent_but_wrong_on_renderings(parts, truth, image) -> None:
    """Consistency alone has this trivial solution; the loss of the renderings excludes it (Sock et al., eq. 2)."""
    _, rotation, center = truth
    network = Free(rotation, center)
    objective = objective_of(parts, network, image, SETTINGS)

    class Constant(Free):
        def forward(self, crops, classes):
            found = super().forward(crops, classes)
            first = found.rotation[:1].expand_as(found.rotation)
            return replace(found, rotation=first if len(self.seen) > 1 else found.rotation)

    honest, constant = objective.consistency(network, image), objective.consistency(Constant(rotation, center), image)
    for name in ("consistency", "masking"):
        assert float(honest[name].detach()) < 1e-6
    assert float(constant["rendered"].detach()) > float(honest["rendered"].detach()) + 0.1


def test_labelled_losses_stay_and_the_others_wait_for_the_warm_up(parts, truth, image) -> None:
    _, rotation, center = truth
    network = Free(rotation, center)
    objective = objective_of(parts, network, image, replace(SETTINGS, warmup_steps=1))
    assert isinstance(objective, SelfSupervisionObjective) and not [*objective.parameters()]
    assert set(objective(network, labelled(image))) == {"labelled"}
    assert set(objective(network, labelled(image))) == {
        "labelled", "consistency", "masking", "rendered", "perceptual",
    }  # fmt: skip


def test_patches_are_rectangles_of_the_stated_sizes_in_the_stated_share() -> None:
    patches = noise_patches(400, 40, 0.25, torch.Generator().manual_seed(0))[:, 0]
    used = patches.flatten(1).any(1)
    assert 60 < int(used.sum()) < 140
    for patch in patches[used]:
        rows, columns = patch.any(1).sum(), patch.any(0).sum()
        assert patch.sum() == rows * columns
        for size in (rows, columns):
            assert PATCH[0] * 40 - 1 <= size <= PATCH[1] * 40 + 1
