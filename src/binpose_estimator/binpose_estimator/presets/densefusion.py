"""The preset `densefusion`: a pose and a confidence from every sampled point (Wang et al., 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from binpose_core.base.settings import setting
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.conditioning import find_inner_conditioning
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import PoseLoss
from binpose_estimator.pixel_head import PixelPoseHead, PixelPoses
from binpose_estimator.pixel_loss import PixelLoss
from binpose_estimator.presets.fused import FusedPreset
from binpose_estimator.presets.registry import register_preset


@register_preset
@dataclass(frozen=True)
class DenseFusionPreset(FusedPreset):
    """Colour CNN and PointNet, fused at each point; a rotation, an offset to the centre and a confidence at each.

    refinements: steps of the refinement network, which refines the most confident pose; 0 = none.
    confidence_weight: w of the loss, in diameters; an error of 2 w is a confidence of one half.
    refinement_margin: error in diameters below which a pose is an example for the refinement network.
    """

    refinements: int = setting(0, bounds=(0, 10))
    confidence_weight: float = setting(0.015, bounds=(1e-4, 1.0))
    refinement_margin: float = setting(0.3, bounds=(0.0, 10.0))

    name = "densefusion"
    prediction = PixelPoses

    def network(self, classes: int) -> PoseNetwork:
        """The backbone of dense fusion with the head of pixel-wise poses."""
        conditioning = find_inner_conditioning(self.conditioning)
        head = PixelPoseHead(self.width, classes, self.hypotheses, self.refinements, conditioning, self.attention)
        return PoseNetwork(self.backbone(classes, conditioning), head)

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """ADD(-S) weighted by the confidence."""
        surfaces = self.surfaces(parts, device)
        loss = PixelLoss(surfaces, self.confidence_weight, self.refinement_margin, self.symmetric_distance)
        return lambda prediction, inputs, targets: loss(prediction, targets)
