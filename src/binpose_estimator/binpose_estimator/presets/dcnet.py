"""The preset `dcnet`: rotation anchors and votes for the centre from fused colours and points (Chen et al., 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from binpose_core.base.settings import setting
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.anchor_head import AnchorHead, AnchorPrediction
from binpose_estimator.anchor_loss import AnchorLoss
from binpose_estimator.anchors import icosahedral_rotations
from binpose_estimator.conditioning import find_inner_conditioning
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import PoseLoss
from binpose_estimator.presets.fused import FusedPreset
from binpose_estimator.presets.registry import register_preset


@register_preset
@dataclass(frozen=True)
class DcNetPreset(FusedPreset):
    """Deviations from 60 icosahedral rotations with uncertainties; unit vectors to the centre, which RANSAC joins."""

    hypotheses: int = setting(4, bounds=(1, 60))

    name = "dcnet"
    prediction = AnchorPrediction

    def network(self, classes: int) -> PoseNetwork:
        """The backbone of dense fusion with the head of anchors."""
        conditioning = find_inner_conditioning(self.conditioning)
        return PoseNetwork(self.backbone(classes, conditioning), AnchorHead(self.width, self.hypotheses))

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """Equations 6 to 9 of the paper."""
        loss = AnchorLoss(self.surfaces(parts, device), self.symmetric_distance)
        anchors = torch.tensor(icosahedral_rotations(), dtype=torch.float32, device=device)
        return lambda prediction, inputs, targets: loss(prediction, targets, anchors)
