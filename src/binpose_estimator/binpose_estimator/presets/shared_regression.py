"""The preset `shared_regression`: rotations regressed from an autoencoder's code (Bengtson et al., 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning.batches import on_device
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.autoencoder import AutoencoderBackbone, AutoencoderObjective
from binpose_estimator.conditioning import find_conditioning
from binpose_estimator.crop_content import CropContent
from binpose_estimator.losses import part_tables
from binpose_estimator.network import PoseNetwork
from binpose_estimator.normalized_renderer import NormalizedRenderer
from binpose_estimator.objective import Objective, PoseLoss
from binpose_estimator.pose_hypotheses import (
    CodedPrediction,
    DepthLoss,
    HypothesisWeights,
    RegressionHead,
    hypothesis_loss,
)
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import register_preset


@register_preset
@dataclass(frozen=True)
class SharedRegressionPreset(Preset):
    """Rotations as the paper has them; the centre, which it leaves for later, is regressed beside them.

    widths: channels of the encoder's convolutions. hypotheses: rotations per crop. conditioning: of `CONDITIONINGS`.
    fine_tune: whether the encoder's last layer learns from the poses.
    floor: gamma, the least weight of a hypothesis. depth_fraction: of the crops of a batch, those that are compared by
    rendered depth; the others by surface points. depth_tolerance: difference of depths that counts as different, in
    diameters. depth_px: side of the rendered images.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    hypotheses: int = 3
    conditioning: str = "multi_output"
    fine_tune: bool = True
    floor: float = 0.05
    depth_fraction: float = 1.0
    depth_tolerance: float = 0.15
    depth_px: int = 32

    name = "shared_regression"
    content = CropContent(("rgb",))
    hint_layer = "backbone.encoder"
    prediction = CodedPrediction

    def __post_init__(self) -> None:
        find_conditioning(self.conditioning)
        if self.hypotheses < 1 or not 0 <= self.floor <= 1 / self.hypotheses:
            raise BinposeError(
                f"hypotheses must be >= 1 and floor between 0 and 1 / hypotheses, got {self.hypotheses} and "
                f"{self.floor}."
            )
        if not 0 <= self.depth_fraction <= 1 or self.depth_tolerance <= 0 or self.depth_px < 8:
            raise BinposeError(
                "depth_fraction must be in [0, 1], depth_tolerance > 0 and depth_px >= 8, got "
                f"{self.depth_fraction}, {self.depth_tolerance} and {self.depth_px}."
            )
        if len(self.widths) != 4:
            raise BinposeError(f"widths must be 4 numbers, from 64 to 4 pixels, got {self.widths}.")

    def network(self, classes: int) -> PoseNetwork:
        """The encoder with the head of hypotheses."""
        conditioning = find_conditioning(self.conditioning)
        backbone = AutoencoderBackbone(self.content.size_px, classes, self.widths, conditioning, self.fine_tune)
        return PoseNetwork(backbone, RegressionHead(classes, self.hypotheses, conditioning))

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """The weighted errors of the hypotheses, of parts in class order."""
        return self._loss(parts, NormalizedRenderer(parts), device)

    def objective(self, parts: Sequence[ObjectModel], device: torch.device) -> Objective:
        """The same with the reconstruction, from which the encoder learns."""
        renderer = NormalizedRenderer(parts)
        return AutoencoderObjective(self._loss(parts, renderer, device), renderer)

    def _loss(self, parts: Sequence[ObjectModel], renderer: NormalizedRenderer, device: torch.device) -> PoseLoss:
        tables, depth_loss = (
            on_device(part_tables(parts), device),
            DepthLoss(renderer, self.depth_tolerance, self.depth_px),
        )
        weights = HypothesisWeights(floor=self.floor)
        return lambda prediction, inputs, targets: hypothesis_loss(
            prediction, inputs, targets, tables, depth_loss, self.depth_fraction, weights
        )
