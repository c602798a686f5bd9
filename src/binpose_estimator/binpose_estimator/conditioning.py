"""How one network serves many parts: layers (channels, classes) that treat features by the class of the part."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_estimator.instance_norm import instance_norm

Conditioning = Callable[[int, int], nn.Module]
"""(channels, classes) -> a layer that takes features (B, C, h, w) and classes (B,) and gives features (B, C, h, w)."""


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
        """(B, C, h, w) and classes (B,) -> (B, C, h, w)."""
        return instance_norm(features, self.gamma(classes), self.beta(classes), self.epsilon)


class FeatureModulation(nn.Module):
    """gamma_c F + beta_c, with a learnt pair per class (FiLM; Perez et al., 2018): CIN without the normalisation."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.gamma = nn.Embedding(classes, channels)
        self.beta = nn.Embedding(classes, channels)
        nn.init.ones_(self.gamma.weight)
        nn.init.zeros_(self.beta.weight)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) and classes (B,) -> (B, C, h, w)."""
        scale, shift = (table(classes)[..., None, None].to(features.dtype) for table in (self.gamma, self.beta))
        return torch.addcmul(shift, features, scale)


class OneHotCode(nn.Module):
    """F + W c for the one-hot code c of the class, of which the product takes one column.

    This is what a 1 x 1 convolution makes of features that the code is appended to, where it leaves the features as
    they are (Sock et al., 2020, compare it with CIN).
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.beta = nn.Embedding(classes, channels)
        nn.init.zeros_(self.beta.weight)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) and classes (B,) -> (B, C, h, w)."""
        return features + self.beta(classes)[..., None, None].to(features.dtype)


class Unconditioned(nn.Module):
    """Features as they are: the class enters the network elsewhere, or not at all."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) and classes (B,) -> the same features."""
        return features


class MultiOutput(Unconditioned):
    """Only the head's last layers know the class: see `output_layers.conditioned_linear`."""


class SingleNetworks(Unconditioned):
    """Each part has a network of its own: see `separate_networks.SeparateNetworks`."""


CONDITIONINGS: Mapping[str, Conditioning] = MappingProxyType(
    {
        "cin": ConditionalInstanceNorm,
        "film": FeatureModulation,
        "one_hot": OneHotCode,
        "multi_output": MultiOutput,
        "single": SingleNetworks,
    }
)


def find_conditioning(name: str) -> Conditioning:
    """The conditioning of this name.

    Raises:
        BinposeError: for an unknown name.
    """
    if name not in CONDITIONINGS:
        raise BinposeError(f"The conditioning {name!r} is unknown; expected {', '.join(CONDITIONINGS)}; choose one.")
    return CONDITIONINGS[name]


def code_size(conditioning: Conditioning, size: int) -> int:
    """Numbers of the learnt code of a class that a head appends to its features; 0 where only other layers know it."""
    return 0 if isinstance(conditioning, type) and issubclass(conditioning, Unconditioned) else size


def find_inner_conditioning(name: str) -> Conditioning:
    """The conditioning of this name for a network whose last layers are those of all parts.

    Raises:
        BinposeError: for an unknown name, and for `multi_output`, with which such a network would not know the part.
    """
    if find_conditioning(name) is MultiOutput:
        raise BinposeError(
            f"The conditioning {name!r} needs last layers of each part, which this preset does not have; expected "
            f"another one of {', '.join(CONDITIONINGS)}; choose cin, film, one_hot or single."
        )
    return find_conditioning(name)
