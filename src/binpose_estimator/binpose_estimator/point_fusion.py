"""Dense fusion of colour and geometry at each point (Wang et al., 2019), weighted as in Mu et al. (2023)."""

import torch
from torch import nn

from binpose_estimator.attention import PointWeights
from binpose_estimator.conditioning import Conditioning

LOCAL, GLOBAL, COLORS = 12, 32, 2
"""Channels of the features of a point, of the cloud and of the colours, in widths."""


class PointFusion(nn.Module):
    """Points (B, N, 3) and colour features (B, N, 2 w) -> features of each point (B, N, 12 w) and of all (B, 32 w).

    Args:
        width: w; 32 gives the channels of Wang et al.
        attention: weights for each point on both branches (Mu et al., eq. 1).
    """

    def __init__(self, width: int, classes: int, conditioning: Conditioning, attention: bool) -> None:
        super().__init__()
        weigh = PointWeights if attention else nn.Identity
        self.points, self.colors = nn.ModuleList(), nn.ModuleList()
        self.weigh_points, self.weigh_colors = nn.ModuleList(), nn.ModuleList()
        for inputs, color_inputs, outputs in ((3, COLORS * width, 2 * width), (2 * width, 2 * width, 4 * width)):
            self.points.append(_dense(inputs, outputs))
            self.colors.append(_dense(color_inputs, outputs))
            self.weigh_points.append(weigh())
            self.weigh_colors.append(weigh())
        self.condition = conditioning(8 * width, classes)
        self.all = nn.Sequential(_dense(8 * width, 16 * width), _dense(16 * width, GLOBAL * width))

    def forward(
        self, points: torch.Tensor, colors: torch.Tensor, classes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class; classes (B,)."""
        levels = []
        layers = zip(self.points, self.colors, self.weigh_points, self.weigh_colors, strict=True)
        for of_points, of_colors, weigh_points, weigh_colors in layers:
            points, colors = of_points(points), of_colors(colors)
            levels.append(torch.cat([weigh_colors(colors), weigh_points(points)], -1))
        fused = torch.relu(levels[1] + self._conditioned(levels[1], classes))
        return torch.cat([levels[0], fused], -1), self.all(fused).mean(1)

    def _conditioned(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, N, C) by a layer for images (B, C, N, 1)."""
        images = features.transpose(1, 2)[..., None]
        conditioned: torch.Tensor = self.condition(images, classes)
        return conditioned[..., 0].transpose(1, 2)


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU())
