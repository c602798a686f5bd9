"""How one network serves many parts."""

import torch
from torch import nn


class ConditionalInstanceNorm(nn.Module):
    """cin(F, c) = gamma_c (F - mean) / deviation + beta_c, with a learnt pair per class (Sock et al., 2020, eq. 4).

    (B, C, h, w) and classes (B,) -> (B, C, h, w). Statistics are taken per image and channel.
    """

    def __init__(self, channels: int, classes: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gamma = nn.Embedding(classes, channels)
        self.beta = nn.Embedding(classes, channels)
        nn.init.ones_(self.gamma.weight)
        nn.init.zeros_(self.beta.weight)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) and classes (B,) -> (B, C, h, w).

        One multiplication and one addition per value: torch's own instance norm copies to another memory layout, and
        its `var_mean` takes five to fifteen times as long as two means over pixels whose channels lie side by side.
        """
        values = features.permute(0, 2, 3, 1).flatten(1, 2).float()
        mean = values.mean(1, keepdim=True)
        variance = (values - mean).square().mean(1)[..., None, None]
        mean = mean[:, 0, :, None, None]
        scale = self.gamma(classes)[..., None, None] * torch.rsqrt(variance + self.epsilon)
        shift = self.beta(classes)[..., None, None] - mean * scale
        return torch.addcmul(shift.to(features.dtype), features, scale.to(features.dtype))
