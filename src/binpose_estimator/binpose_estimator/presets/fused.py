"""What the presets of dense fusion have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from binpose_core.base.settings import check_bounds, setting
from binpose_core.learning.batches import on_device
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.conditioning import Conditioning, find_inner_conditioning
from binpose_estimator.dense_fusion import FUSED_CONTENT, DenseFusionBackbone
from binpose_estimator.model_distance import (
    SurfaceTables,
    SymmetricDistance,
    check_symmetric_distance,
    surface_tables,
)
from binpose_estimator.presets.preset import Preset


@dataclass(frozen=True)
class FusedPreset(Preset):
    """Colours and points, fused at sampled points of a crop.

    width: of the features; 32 gives the channels of the paper. points: sampled from each crop.
    hypotheses: poses per crop. conditioning: of `CONDITIONINGS`.
    surface_points: of a part, on which the loss compares poses.
    symmetric_distance: of symmetric parts: to the equivalent poses, or to the nearest points as in the paper.

    attention: whether points have weights on both branches.
    """

    width: int = setting(16, bounds=(4, 128))
    points: int = setting(128, bounds=(8, 4096))
    hypotheses: int = setting(4, bounds=(1, 64))
    conditioning: str = "cin"
    surface_points: int = setting(64, bounds=(8, 4096))
    symmetric_distance: SymmetricDistance = "equivalent"

    content = FUSED_CONTENT
    attention: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_bounds(self)
        find_inner_conditioning(self.conditioning)
        check_symmetric_distance(self.symmetric_distance)

    def backbone(self, classes: int, conditioning: Conditioning) -> DenseFusionBackbone:
        """The features of as many parts."""
        return DenseFusionBackbone(classes, self.width, self.points, conditioning, self.attention)

    def surfaces(self, parts: Sequence[ObjectModel], device: torch.device) -> SurfaceTables:
        """What the loss knows of the parts, in class order."""
        return on_device(surface_tables(parts, self.surface_points), device)
