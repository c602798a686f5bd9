"""The last layers of heads: shared by all classes, or one for each class, as the conditioning wants it."""

from typing import ClassVar

import torch
from torch import nn

from binpose_estimator.conditioning import Conditioning, MultiOutput


class SharedLinear(nn.Linear):
    """A linear layer that is the same for all classes."""

    def forward(self, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """(B, inputs) and classes (B,) -> (B, outputs)."""
        return super().forward(x)


class SharedPointwise(nn.Conv2d):
    """A 1 x 1 convolution that is the same for all classes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """(B, inputs, h, w) and classes (B,) -> (B, outputs, h, w)."""
        return super().forward(x)


class ClassLinear(nn.Module):
    """A linear layer with one output per class, of which that of the own class is taken (Bengtson et al., 2022).

    The outputs of other classes, which the mask of the paper removes, are not computed. Hence the number of classes
    changes neither the cost nor, to the bit, the result.
    """

    rows_of_parts: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(self, inputs: int, outputs: int, classes: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(classes, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(classes, outputs).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, inputs, ...), with or without pixels, and classes (B,) -> (B, outputs, ...)."""
        found = torch.baddbmm(self.bias[classes][..., None], self.weight[classes], x.reshape(*x.shape[:2], -1))
        return found.reshape(*found.shape[:2], *x.shape[2:])


def conditioned_linear(
    conditioning: Conditioning, inputs: int, outputs: int, classes: int
) -> ClassLinear | SharedLinear:
    """The last layer of a head: (B, inputs) and classes (B,) -> (B, outputs)."""
    if conditioning is MultiOutput:
        return ClassLinear(inputs, outputs, classes)
    return SharedLinear(inputs, outputs)


def conditioned_pointwise(
    conditioning: Conditioning, inputs: int, outputs: int, classes: int
) -> ClassLinear | SharedPointwise:
    """The last layer of a head of images: (B, inputs, h, w) and classes (B,) -> (B, outputs, h, w)."""
    if conditioning is MultiOutput:
        return ClassLinear(inputs, outputs, classes)
    return SharedPointwise(inputs, outputs)
