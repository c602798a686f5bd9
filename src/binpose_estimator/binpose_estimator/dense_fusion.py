"""The backbone of DenseFusion: a colour CNN with pyramid pooling and a PointNet, fused at each sampled point."""

import torch
from torch import nn
from torch.nn import functional

from binpose_estimator.backbone import ConditionedStage
from binpose_estimator.conditioning import Conditioning
from binpose_estimator.crop_content import CropContent
from binpose_estimator.point_fusion import COLORS, PointFusion
from binpose_estimator.point_sampling import pixel_order, sample_pixels

FUSED_CONTENT = CropContent(("points", "valid", "mask", "rgb"))
"""What the backbone sees of a crop."""
POOLED_SIZES = (1, 2, 4)
CELL_PX = 2
"""Pixels of a crop per cell of the colour features."""

FusedFeatures = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""points (B, N, 3) in diameters from the crop's centre, seen (B,) bool: whether the crop has any point, colours
(B, N, 2 w), features of each point (B, N, 12 w) and of all points (B, 32 w)."""


class PyramidPooling(nn.Module):
    """(B, C, h, w) -> (B, C, h, w) with means over whole, half and quarter images (PSPNet; Zhao et al., 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        part = channels // 4
        self.levels = nn.ModuleList([nn.Conv2d(channels, part, 1) for _ in POOLED_SIZES])
        self.mix = nn.Conv2d(channels + len(POOLED_SIZES) * part, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """See the class; h and w are equal and divisible by 4."""
        size = features.shape[-1]
        pooled = [
            functional.interpolate(level(functional.avg_pool2d(features, size // cells)), size=(size, size))
            for level, cells in zip(self.levels, POOLED_SIZES, strict=True)
        ]
        return torch.relu(self.mix(torch.cat([features, *pooled], 1)))


class DenseFusionBackbone(nn.Module):
    """Crops (B, 8, 64, 64) of `FUSED_CONTENT`, classes (B,) -> `FusedFeatures` of N sampled points.

    The points are pixels of the mask with depth. The CNN sees the mask beside the colours: parts in a bin touch.

    Args:
        classes: number of parts.
        width: w; 32 gives the channels of Wang et al. points: N.
        attention: weights for each point on both branches (Mu et al., eq. 1).
    """

    order: torch.Tensor

    def __init__(self, classes: int, width: int, points: int, conditioning: Conditioning, attention: bool) -> None:
        super().__init__()
        self.number = points
        widths = (4, 2 * width, 4 * width, 8 * width)
        self.stages = nn.ModuleList(
            ConditionedStage(a, b, classes, kernel, conditioning)
            for a, b, kernel in zip(widths[:-1], widths[1:], (6, 3, 3), strict=True)
        )
        self.pyramid = PyramidPooling(8 * width)
        self.up = nn.ModuleList([_block(8 * width, 4 * width), _block(4 * width, COLORS * width)])
        self.fusion = PointFusion(width, classes, conditioning, attention)
        self.register_buffer("order", pixel_order(FUSED_CONTENT.size_px))

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> FusedFeatures:
        """See the class."""
        images = {name: crops[:, FUSED_CONTENT.where(name)] for name in FUSED_CONTENT.names}
        usable = (images["valid"] * images["mask"]).flatten(1) > 0.5
        index, seen = sample_pixels(usable, self.order, self.number)
        points = _at(images["points"], index)
        colors = _at(self.color_features(images["rgb"], images["mask"], classes), _cells(index, crops.shape[-1]))
        local, whole = self.fusion(points, colors, classes)
        return points, seen, colors, local, whole

    def color_features(self, rgb: torch.Tensor, mask: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, 3, 64, 64) and (B, 1, 64, 64) -> (B, 2 w, 32, 32)."""
        features = torch.cat([2.0 * rgb - 1.0, mask], 1)
        for stage in self.stages:
            features = stage(features, classes)
        features = self.pyramid(features)
        for block in self.up:
            features = block(functional.interpolate(features, scale_factor=2.0, mode="nearest"))
        return features


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _at(images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) at flat pixels (B, N) -> (B, N, C)."""
    values = images.flatten(2)
    return values.gather(2, index[:, None].expand(-1, values.shape[1], -1)).transpose(1, 2)


def _cells(index: torch.Tensor, size_px: int) -> torch.Tensor:
    """Flat cells of the colour features in which flat pixels lie."""
    return (index // size_px // CELL_PX) * (size_px // CELL_PX) + index % size_px // CELL_PX
