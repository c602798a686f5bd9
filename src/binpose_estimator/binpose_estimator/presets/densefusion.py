"""The preset `densefusion`: a pose and a confidence from every sampled point (Wang et al., 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from binpose_core.base.settings import check_bounds, setting
from binpose_core.learning.batches import on_device
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.conditioning import find_inner_conditioning
from binpose_estimator.dense_fusion import FUSED_CONTENT, DenseFusionBackbone
from binpose_estimator.model_distance import SymmetricDistance, check_symmetric_distance, surface_tables
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import PoseLoss
from binpose_estimator.pixel_head import PixelPoseHead
from binpose_estimator.pixel_loss import PixelLoss
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import register_preset


@register_preset
@dataclass(frozen=True)
class DenseFusionPreset(Preset):
    """Colour CNN and PointNet, fused at each point; a rotation, an offset to the centre and a confidence at each.

    width: of the features; 32 gives the channels of the paper. points: sampled from each crop.
    hypotheses: poses per crop. conditioning: of `CONDITIONINGS`.
    refinements: steps of the refinement network, which refines the most confident pose; 0 = none.
    confidence_weight: w of the loss, in diameters; an error of 2 w is a confidence of one half.
    refinement_margin: error in diameters below which a pose is an example for the refinement network.
    surface_points: of a part, on which the loss compares poses.
    symmetric_distance: of symmetric parts: to the equivalent poses, or to the nearest points as in the paper.
    """

    width: int = setting(16, bounds=(4, 128))
    points: int = setting(128, bounds=(8, 4096))
    hypotheses: int = setting(4, bounds=(1, 64))
    conditioning: str = "cin"
    refinements: int = setting(0, bounds=(0, 10))
    confidence_weight: float = setting(0.015, bounds=(1e-4, 1.0))
    refinement_margin: float = setting(0.3, bounds=(0.0, 10.0))
    surface_points: int = setting(64, bounds=(8, 4096))
    symmetric_distance: SymmetricDistance = "equivalent"

    name = "densefusion"
    content = FUSED_CONTENT
    attention: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_bounds(self)
        find_inner_conditioning(self.conditioning)
        check_symmetric_distance(self.symmetric_distance)

    def network(self, classes: int) -> PoseNetwork:
        """The backbone of dense fusion with the head of pixel-wise poses."""
        conditioning = find_inner_conditioning(self.conditioning)
        backbone = DenseFusionBackbone(classes, self.width, self.points, conditioning, self.attention)
        head = PixelPoseHead(self.width, classes, self.hypotheses, self.refinements, conditioning, self.attention)
        return PoseNetwork(backbone, head)

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """ADD(-S) weighted by the confidence."""
        tables = on_device(surface_tables(parts, self.surface_points), device)
        loss = PixelLoss(tables, self.confidence_weight, self.refinement_margin, self.symmetric_distance)
        return lambda prediction, inputs, targets: loss(prediction, targets)
