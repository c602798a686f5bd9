"""The preset `bb8`: corners of the bounding box from RGB crops, and PnP (Sock et al., 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from binpose_core.learning.batches import on_device
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.backbone import ConvolutionalBackbone
from binpose_estimator.box_corners import CornerHead, box_points, corner_loss
from binpose_estimator.conditioning import find_conditioning
from binpose_estimator.corner_regression import CornerRegression
from binpose_estimator.crop_content import CropContent
from binpose_estimator.losses import part_tables
from binpose_estimator.network import PoseNetwork
from binpose_estimator.objective import PoseLoss
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import register_preset
from binpose_estimator.regression import Regression


@register_preset
@dataclass(frozen=True)
class Bb8Preset(Preset):
    """widths: channels of the backbone's stages. conditioning: of `CONDITIONINGS`."""

    widths: tuple[int, int, int] = (48, 96, 160)
    conditioning: str = "cin"

    name = "bb8"
    content = CropContent(("rgb",))

    def __post_init__(self) -> None:
        find_conditioning(self.conditioning)

    def network(self, classes: int) -> PoseNetwork:
        """The convolutional backbone with the head of corners."""
        conditioning = find_conditioning(self.conditioning)
        backbone = ConvolutionalBackbone(self.content.channels, classes, self.widths, conditioning)
        return PoseNetwork(backbone, CornerHead(self.widths[2], classes, conditioning))

    def regression(self, parts: Sequence[ObjectModel], device: torch.device) -> Regression:
        """The corners, and the poses that PnP makes of them."""
        return CornerRegression(*on_device((part_tables(parts), box_points(parts)), device))

    def loss(self, parts: Sequence[ObjectModel], device: torch.device) -> PoseLoss:
        """The Huber loss of the corners, of parts in class order."""
        tables, points = on_device((part_tables(parts), box_points(parts)), device)
        return lambda prediction, inputs, targets: corner_loss(prediction, inputs, targets, tables, points)
