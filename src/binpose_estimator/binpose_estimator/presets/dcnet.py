"""The preset `dcnet`: rotation anchors and votes for the centre from fused colours and points (Chen et al., 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from binpose_core.base.settings import check_bounds, setting
from binpose_core.learning.batches import on_device
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.anchor_head import AnchorHead
from binpose_estimator.anchor_loss import AnchorLoss
from binpose_estimator.anchors import icosahedral_rotations
from binpose_estimator.conditioning import find_inner_conditioning
from binpose_estimator.dense_fusion import FUSED_CONTENT, DenseFusionBackbone
from binpose_estimator.model_distance import SymmetricDistance, check_symmetric_distance, surface_tables
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import PoseLoss
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import register_preset


@register_preset
@dataclass(frozen=True)
class DcNetPreset(Preset):
    """Deviations from 60 icosahedral rotations with uncertainties; unit vectors to the centre, which RANSAC joins.

    width: of the features; 32 gives the channels of the paper. points: sampled from each crop.
    hypotheses: poses per crop. conditioning: of `CONDITIONINGS`.
    surface_points: of a part, on which the loss compares rotations.
    symmetric_distance: of symmetric parts: to the equivalent poses, or to the nearest points as in the paper.
    """

    width: int = setting(16, bounds=(4, 128))
    points: int = setting(128, bounds=(8, 4096))
    hypotheses: int = setting(4, bounds=(1, 60))
    conditioning: str = "cin"
    surface_points: int = setting(64, bounds=(8, 4096))
    symmetric_distance: SymmetricDistance = "equivalent"

    name = "dcnet"
    content = FUSED_CONTENT

    def __post_init__(self) -> None:
        check_bounds(self)
        find_inner_conditioning(self.conditioning)
        check_symmetric_distance(self.symmetric_distance)

    def network(self, classes: int) -> PoseNetwork:
        """The backbone of dense fusion with the head of anchors."""
        conditioning = find_inner_conditioning(self.conditioning)
        backbone = DenseFusionBackbone(classes, self.width, self.points, conditioning, attention=False)
        return PoseNetwork(backbone, AnchorHead(self.width, self.hypotheses))

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """Equations 6 to 9 of the paper."""
        loss = AnchorLoss(on_device(surface_tables(parts, self.surface_points), device), self.symmetric_distance)
        anchors = torch.tensor(icosahedral_rotations(), dtype=torch.float32, device=device)
        return lambda prediction, inputs, targets: loss(prediction, targets, anchors)
