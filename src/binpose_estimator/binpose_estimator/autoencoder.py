"""The augmented autoencoder (Sundermeyer et al., 2018): a code of what a part's clean rendering would look like."""

import itertools

import torch
from torch import nn

from binpose_estimator.conditioning import Conditioning
from binpose_estimator.crops import CropInputs
from binpose_estimator.losses import PoseTargets
from binpose_estimator.normalized_renderer import NormalizedRenderer
from binpose_estimator.objective import Objective, PoseBatch, PoseLoss

CODE = 128
"""Numbers of the code, as in the paper."""
SMALLEST_PX = 4
HARDEST = 0.25
"""Fraction of the pixels, those with the largest errors, that the loss of the reconstruction takes."""


class AutoencoderBackbone(nn.Module):
    """RGB crops (B, 3, n, n) and classes (B,) -> codes (B, 128), codes for poses (B, 128), reconstructions.

    The convolutions and the code learn from the reconstruction alone. The code for poses comes from a copy of the last
    layer that learns from the poses (Bengtson et al., 2022, fine-tune it); without `fine_tune` it is the code itself.
    Reconstructions (B, 1, n, n) are made in training mode; otherwise they are empty, (B, 0).

    Args:
        size_px: n, four times a power of 2.
        classes: of parts.
        widths: channels of the convolutions, each with stride 2, down to 4 x 4 pixels.
        conditioning: of the last features.
        fine_tune: whether poses have a last layer of their own.
    """

    def __init__(
        self, size_px: int, classes: int, widths: tuple[int, ...], conditioning: Conditioning, fine_tune: bool
    ) -> None:
        super().__init__()
        assert size_px == SMALLEST_PX << len(widths)
        self.encoder = nn.Sequential(
            *[_encoding(inputs, outputs) for inputs, outputs in zip((3, *widths[:-1]), widths, strict=True)]
        )
        self.condition = conditioning(widths[-1], classes)
        inner = widths[-1] * SMALLEST_PX**2
        self.code = nn.Linear(inner, CODE)
        self.pose_code = nn.Linear(inner, CODE) if fine_tune else None
        turned = widths[::-1]
        self.expand = nn.Linear(CODE, inner)
        self.decoder = nn.Sequential(
            *[_decoding(inputs, outputs) for inputs, outputs in itertools.pairwise(turned)],
            nn.Upsample(scale_factor=2.0, mode="nearest"),
            nn.Conv2d(turned[-1], 1, 5, padding=2),
        )

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, 3, n, n) in [0, 1] and classes (B,) -> codes (B, 128), codes for poses (B, 128), reconstructions."""
        features = self.condition(self.encoder(crops - 0.5), classes).flatten(1)
        code = self.code(features)
        pose_code = code.detach() if self.pose_code is None else self.pose_code(features.detach())
        return code, pose_code, self._reconstructed(code) if self.training else code[:, :0]

    def _reconstructed(self, code: torch.Tensor) -> torch.Tensor:
        inner = self.expand(code).unflatten(1, (-1, SMALLEST_PX, SMALLEST_PX))
        return self.decoder(torch.relu(inner)).sigmoid()


def _encoding(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _decoding(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2.0, mode="nearest"),
        nn.Conv2d(inputs, outputs, 5, padding=2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def reconstruction_loss(reconstructed: torch.Tensor, clean: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Bootstrapped squared error of images (B, 1, n, n): of each, the pixels with the largest errors count.

    Args:
        reconstructed: by the network.
        clean: renderings of the parts.
        weight: (B,) of the crops.
    """
    error = (reconstructed - clean).square().flatten(1)
    hardest = error.topk(max(1, int(HARDEST * error.shape[1])), dim=1).values.mean(1)
    return (weight * hardest).sum() / weight.sum().clamp(min=1.0)


class AutoencoderObjective(Objective):
    """The preset's loss, and that of the reconstruction, for predictions with codes and reconstructions.

    A fraction of each batch shows the clean renderings themselves: the codes of a codebook are of such images.

    Args:
        loss: of the preset.
        renderer: of the parts in class order.
        clean_fraction: of a batch.
        weight: of the reconstruction's loss.
    """

    def __init__(
        self, loss: PoseLoss, renderer: NormalizedRenderer, clean_fraction: float = 0.2, weight: float = 10.0
    ) -> None:
        super().__init__(loss)
        self.renderer, self.clean_fraction, self.weight = renderer, clean_fraction, weight

    def forward(self, network: nn.Module, batch: PoseBatch) -> dict[str, torch.Tensor]:
        """The losses by name, whose sum is minimised."""
        inputs, targets = batch
        clean = self._clean(inputs, targets)
        x, number = inputs.x.clone(), int(self.clean_fraction * len(inputs))
        x[:number] = clean[:number]
        prediction = network(x, targets.classes)
        with torch.autocast(inputs.x.device.type, enabled=False):
            # A crop of another part has no truth for its class: nothing is learnt from its reconstruction.
            weight = targets.weight * targets.matches
            lost = reconstruction_loss(prediction.reconstruction.float(), clean, weight)
            return {"reconstruction": self.weight * lost, **self.loss(prediction, inputs, targets)}

    def _clean(self, inputs: CropInputs, targets: PoseTargets) -> torch.Tensor:
        place = targets.center.clone()
        place[:, 2] += inputs.distance
        return self.renderer.shaded(targets.classes, targets.rotation, place, inputs)
