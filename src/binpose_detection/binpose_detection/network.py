"""The segmentation network, a compact U-Net.

Per cell it tells the part type, where the part's centre is, and which of the cells around are of the same part.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from torch import nn

from binpose_detection.features import CHANNELS

STEM = 4
OUTPUT_STRIDE = 2
OFFSET_UNIT_PX = 32.0
CENTER_CHANNELS = 4
STEPS = ((0, 1), (1, 0), (0, 3), (3, 0), (0, 7), (7, 0), (5, 5), (5, -5))
"""(rows, columns) in cells of the output, from each cell to those of which the network tells if they are of its part.

The first two lead to neighbours; the longer ones see over a border that is blurred.
"""


Grid = TypeVar("Grid", torch.Tensor, npt.NDArray[Any])


def step_apart(values: Grid, down: int, right: int) -> tuple[Grid, Grid]:
    """Of a grid (..., h, w): the cells from which a step (down >= 0) leads to another one, and those where it leads."""
    height, width = values.shape[-2:]
    here = values[..., : height - down, max(0, -right) : width - max(0, right)]
    there = values[..., down:, max(0, right) : width + min(0, right)]
    return here, there


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> the same shape."""
        return torch.relu(x + self.second(self.first(x)))


class SegmentationNetwork(nn.Module):
    """Features (B, 10, H, W) -> logits (B, classes + 1, h, w), centres (B, 4, h, w), affinities (B, 8, h, w).

    H and W are multiples of 32, h and w their halves.

    Class 0 is everything that is not a part. The centre channels are the offset (u, v) from the pixel to the projected
    centre of its part and the offset in depth, all in units of `OFFSET_UNIT_PX` working pixels (of their metric size
    for the depth), and the logarithm of the Laplace scale of the image offset in the same unit. The affinities are
    logits that a cell and the one a step (`STEPS`) further are of the same part; networks without them have 0 channels.

    Patches of 4 x 4 pixels replace a first level at full resolution, which would cost more than all others together;
    the head works at a quarter of the resolution and is shuffled up to half.
    """

    def __init__(
        self, classes: int, widths: tuple[int, int, int, int] = (48, 80, 128, 160), affinities: bool = True
    ) -> None:
        super().__init__()
        self.channels = (classes + 1, CENTER_CHANNELS, len(STEPS) if affinities else 0)
        w0, w1, w2, w3 = widths
        self.stem = nn.Sequential(
            nn.Conv2d(len(CHANNELS), w0, STEM, stride=STEM, bias=False),
            nn.BatchNorm2d(w0),
            nn.ReLU(inplace=True),
        )
        self.encoders = nn.ModuleList(
            [
                ResidualBlock(w0),
                nn.Sequential(ConvBlock(w0, w1, stride=2), ResidualBlock(w1)),
                nn.Sequential(ConvBlock(w1, w2, stride=2), ResidualBlock(w2)),
                nn.Sequential(ConvBlock(w2, w3, stride=2), ResidualBlock(w3), ResidualBlock(w3)),
            ]
        )
        self.laterals = nn.ModuleList([nn.Conv2d(w3, w2, 1), nn.Conv2d(w2, w1, 1), nn.Conv2d(w1, w0, 1)])
        self.decoders = nn.ModuleList([ResidualBlock(w2), ResidualBlock(w1), ResidualBlock(w0)])
        outputs = sum(self.channels) * (STEM // OUTPUT_STRIDE) ** 2
        self.head = nn.Sequential(ConvBlock(w0, w0), nn.Conv2d(w0, outputs, 1), nn.PixelShuffle(STEM // OUTPUT_STRIDE))

    def part_rows(self, objects: Sequence[str]) -> dict[str, list[str]]:
        """What each row stands for in the tensors whose rows belong to parts: see `weights.inherit`."""
        _, centers, affinities = self.channels
        told = [f"center {i}" for i in range(centers)] + [f"affinity {i}" for i in range(affinities)]
        outputs = ["no part", *objects, *told]
        labels = [f"{output}, cell {i}" for output in outputs for i in range((STEM // OUTPUT_STRIDE) ** 2)]
        return {"head.1.weight": labels, "head.1.bias": labels}

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features (B, 10, H, W) -> logits, centres and affinities, see above."""
        x = self.stem(features)
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        for lateral, decoder, skip in zip(self.laterals, self.decoders, reversed(skips[:-1]), strict=True):
            x = nn.functional.interpolate(lateral(x), scale_factor=2.0, mode="nearest")
            x = decoder(x + skip)
        logits, centers, affinities = self.head(x).split(self.channels, 1)
        return logits, centers, affinities
