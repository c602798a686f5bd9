"""What heads regress from the fused features."""

import itertools

import torch
from torch import nn

from binpose_estimator.point_fusion import GLOBAL, LOCAL


class PixelRegressor(nn.Module):
    """Features of each point (B, N, 12 w) and of all points (B, 32 w) -> values of each point (B, N, outputs)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.local = nn.Linear(LOCAL * width, 20 * width)
        self.whole = nn.Linear(GLOBAL * width, 20 * width, bias=False)  # once per crop, not once per point
        self.layers = linear_layers(20 * width, 8 * width, 4 * width, outputs)

    def forward(self, local: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """See the class."""
        values: torch.Tensor = self.layers(torch.relu(self.local(local) + self.whole(whole)[:, None]))
        return values


def linear_layers(*channels: int) -> nn.Sequential:
    """Linear layers with rectifiers between them."""
    made: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(channels):
        made += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*made[:-1])
