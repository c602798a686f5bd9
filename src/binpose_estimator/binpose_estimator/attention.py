"""Weights for each point of a cloud."""

import torch
from torch import nn


class PointWeights(nn.Module):
    """Spatial attention over points (Mu et al., eq. 1): from the largest and the mean feature of each point."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(2, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, N, C) to weighted (B, N, C)."""
        pooled = torch.stack([features.amax(-1), features.mean(-1)], -1)
        return features * 2.0 * torch.sigmoid(self.mix(pooled))
