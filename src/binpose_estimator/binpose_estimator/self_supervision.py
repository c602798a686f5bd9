"""Self-supervision by pose consistency: no pose of a target image is used (Sock et al., 2020, section 3.2).

The network estimates a pose h1 of an unlabelled crop. The part is rendered at h1, and the crop is masked by the
silhouette. Estimates of the masked crop and of the rendering, h2 and h3, must agree with h1 and with each other. The
poses of the rendering are known, so that it is a labelled example.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import huber_loss

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crops import CropInputs
from binpose_estimator.estimator import EstimatorConfig
from binpose_estimator.features import tapped
from binpose_estimator.head import at_cells
from binpose_estimator.losses import PoseTargets
from binpose_estimator.objective import Objective, PoseBatch
from binpose_estimator.presets import PoseLoss
from binpose_estimator.regression import Regression, chosen
from binpose_estimator.rendered_crops import CropRenderer, RenderedCrops
from binpose_estimator.self_supervision_config import SelfSupervisionConfig
from binpose_estimator.unlabelled_crops import DrawUnlabelled, UnlabelledBatch

PATCH = (0.15, 0.5)
"""Least and largest width and height of a patch of noise, as fractions of the crop's."""


class Estimates(NamedTuple):
    """Predictions of the same parts: of the image (h1), of the masked image (h2) and of the rendering (h3)."""

    image: Any
    masked: Any
    rendered: Any


class SelfSupervisionObjective(Objective):
    """The losses of another objective, and eqs. 1 to 3 on unlabelled crops.

    Args:
        base: what labelled crops are learnt by.
        loss: of the preset, for the renderings.
        regression: what the head regresses, and the poses that it stands for.
        renderer: of the parts in class order.
        unlabelled: gives the crops of each step.
        perceptual: a frozen network and the module whose features are compared; None = no perceptual loss.
        config: the weights.
        seed: of the patches.
    """

    def __init__(
        self,
        base: Objective,
        loss: PoseLoss,
        regression: Regression,
        renderer: CropRenderer,
        unlabelled: DrawUnlabelled,
        perceptual: tuple[nn.Module, str] | None,
        config: SelfSupervisionConfig,
        seed: int = 0,
    ) -> None:
        super().__init__(loss)
        self.base, self._config = base, config
        self._regression, self._renderer = regression, renderer
        self._unlabelled, self._perceptual = unlabelled, perceptual
        self._random, self._steps = torch.Generator().manual_seed(seed), 0

    def forward(self, network: nn.Module, batch: PoseBatch) -> dict[str, torch.Tensor]:
        """The losses by name."""
        losses = self.base(network, batch)
        self._steps += 1
        if self._steps <= self._config.warmup_steps:
            return losses
        more = self._unlabelled(batch[0].x.device)
        return {**losses, **self.consistency(network, more)}

    def consistency(self, network: nn.Module, batch: UnlabelledBatch) -> dict[str, torch.Tensor]:
        """L_pose, L_pose2, the supervised loss of the renderings and L_percep, with their weights."""
        config, classes = self._config, batch.classes
        patch = noise_patches(len(classes), batch.inputs.content.size_px, config.occlusion, self._random)
        image = occluded(batch.inputs, patch, self._random)
        first = network(image.x, classes)
        self._regression.check(first, "student")
        rotation, center = self._regression.poses(first, image, classes)
        with torch.autocast(image.x.device.type, enabled=False):
            drawn = self._renderer(classes, rotation.float(), center.float(), image.distance)
        shown = _in_view(drawn.silhouette)
        clear = 1.0 - patch.to(image.x)
        masked = _with_x(image, image.x * drawn.silhouette * clear)
        other = noise_patches(len(classes), image.content.size_px, config.occlusion, self._random)
        rendered = occluded(drawn.inputs, other, self._random)
        found = Estimates(first, network(masked.x, classes), network(rendered.x, classes))
        with torch.autocast(image.x.device.type, enabled=False):
            losses = self._agreement(found, shown)
            targets = rendered_targets(drawn, rotation, center, classes, shown)
            if config.supervised and shown.any():
                losses["rendered"] = config.supervised * sum_of(self.loss(found.rendered, rendered, targets))
        if self._perceptual is not None and config.perceptual:
            losses["perceptual"] = config.perceptual * self._feature_distance(masked.x, drawn.inputs.x * clear, classes)
        return losses

    def _agreement(self, found: Estimates, shown: torch.Tensor) -> dict[str, torch.Tensor]:
        """Eq. 1 and L_pose2 by the hypothesis that is the most confident in the image."""
        index = self._regression.confidence(found.image).argmax(1)
        first, second, third = (chosen(self._regression.points(one), index).float() for one in found)
        weights = {"consistency": self._config.consistency, "masking": self._config.masking}
        pairs = {"consistency": (second, third), "masking": (first, second)}
        return {
            name: weight * _huber(*pairs[name], self._config.huber, shown) for name, weight in weights.items() if weight
        }

    def _feature_distance(self, masked: torch.Tensor, rendered: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        assert self._perceptual is not None
        network, layer = self._perceptual
        found = []
        for x in (masked, rendered):
            with tapped(network.to(x.device), [layer]) as features:
                network(x, classes)
            found.append(nn.functional.normalize(features[layer].float(), dim=1))
        return (found[0] - found[1]).square().sum(1).mean()


def noise_patches(count: int, size_px: int, share: float, random: torch.Generator) -> torch.Tensor:
    """(B, 1, n, n) in {0, 1}: rectangles of random size and place in a share of the crops."""
    low, high = PATCH
    extent = size_px * (low + (high - low) * torch.rand(count, 2, generator=random))
    corner = torch.rand(count, 2, generator=random) * (size_px - extent)
    used = torch.rand(count, generator=random) < share
    at = torch.arange(size_px)
    within = (at >= corner[..., None]) & (at < (corner + extent)[..., None]) & used[:, None, None]
    return (within[:, 0, :, None] & within[:, 1, None, :]).float()[:, None]


def occluded(inputs: CropInputs, patch: torch.Tensor, random: torch.Generator) -> CropInputs:
    """The crops with Gaussian noise in the patches (B, 1, n, n)."""
    noise = (0.5 + 0.25 * torch.randn(inputs.x.shape, generator=random)).to(inputs.x)
    return _with_x(inputs, torch.where(patch.to(inputs.x.device) > 0, noise, inputs.x))


def rendered_targets(
    drawn: RenderedCrops, rotation: torch.Tensor, center: torch.Tensor, classes: torch.Tensor, shown: torch.Tensor
) -> PoseTargets:
    """The truth of renderings: the poses that they were drawn at, without gradient. Unseen parts have no weight."""
    rotation, center = rotation.detach().float(), center.detach().float()
    inputs = drawn.inputs
    covered = at_cells(drawn.silhouette.detach())[:, 0] > 0.5
    if "points" in inputs.content.names:
        observed = at_cells(inputs["points"].detach())
        points = torch.einsum("bji,bjhw->bihw", rotation, observed - center[..., None, None])
    else:
        points, covered = torch.zeros(len(inputs), 3, *covered.shape[1:]).to(covered.device), covered & False
    return PoseTargets(classes, rotation, center, points, covered, torch.ones_like(shown), shown.float())


def self_supervision_objective(
    base: Objective,
    start: nn.Module,
    estimator: EstimatorConfig,
    parts: Sequence[ObjectModel],
    unlabelled: DrawUnlabelled,
    config: SelfSupervisionConfig,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> SelfSupervisionObjective:
    """The objective for parts in class order.

    Args:
        base: what labelled crops are learnt by.
        start: the network as the training begins. A frozen copy of it takes the place of the VGG network of the paper,
            whose weights would have to be downloaded.
        estimator: its settings.
        parts: in class order.
        unlabelled: gives the crops of each step.
        config: the weights.
        device: of the training.
        seed: of the patches.
    """
    preset, place = estimator.preset, torch.device(device)
    frozen = copy.deepcopy(start).to(place).eval().requires_grad_(False)
    return SelfSupervisionObjective(
        base, preset.loss(parts, place), preset.regression(parts, place), CropRenderer(parts, preset.content),
        unlabelled, (frozen, preset.hint_layer), config, seed,
    )  # fmt: skip


def sum_of(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    """The sum of losses by name."""
    return torch.stack([*losses.values()]).sum()


def _with_x(inputs: CropInputs, x: torch.Tensor) -> CropInputs:
    return CropInputs(inputs.content, x, inputs.distance)


def _in_view(silhouette: torch.Tensor) -> torch.Tensor:
    """(B,) whether anything of the part is rendered."""
    return silhouette.detach().flatten(1).sum(1) > 0


def _huber(a: torch.Tensor, b: torch.Tensor, delta: float, rows: torch.Tensor) -> torch.Tensor:
    """Mean Huber loss of points (B, N, D) over some of the rows, by its slope; 0 without rows."""
    each = huber_loss(a, b, reduction="none", delta=delta).flatten(1).mean(1) / delta
    return (each * rows).sum() / rows.sum().clamp(min=1)
