"""How one network serves many parts."""

import torch
from torch import nn


class ConditionalInstanceNorm(nn.Module):
    """cin(F, c) = gamma_c (F - mean) / deviation + beta_c, with a learnt pair per class (paper 000, eq. 4).

    (B, C, h, w) and classes (B,) -> (B, C, h, w). Statistics are taken per image and channel.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.gamma = nn.Embedding(classes, channels)
        self.beta = nn.Embedding(classes, channels)
        nn.init.ones_(self.gamma.weight)
        nn.init.zeros_(self.beta.weight)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) and classes (B,) -> (B, C, h, w)."""
        return self.gamma(classes)[..., None, None] * self.norm(features) + self.beta(classes)[..., None, None]
