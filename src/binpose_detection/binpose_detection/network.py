"""The segmentation network: a compact U-Net that tells, per pixel, the part type and where the part's centre is."""

from collections.abc import Sequence

import torch
from torch import nn

from binpose_detection.features import CHANNELS

STEM = 4
OUTPUT_STRIDE = 2
CENTER_CHANNELS = 4


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
    """Features (B, 10, H, W) -> logits (B, classes + 1, H/2, W/2), centres (B, 4, H/2, W/2). H and W multiples of 32.

    Class 0 is everything that is not a part. The centre channels are the offset (u, v) from the pixel to the projected
    centre of its part and the offset in depth, all in units of `OFFSET_UNIT_PX` working pixels (of their metric size
    for the depth), and the logarithm of the Laplace scale of the image offset in the same unit.

    Patches of 4 x 4 pixels replace a first level at full resolution, which would cost more than all others together;
    the head works at a quarter of the resolution and is shuffled up to half.
    """

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = (48, 80, 128, 160)) -> None:
        super().__init__()
        self.classes = classes
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
        outputs = (classes + 1 + CENTER_CHANNELS) * (STEM // OUTPUT_STRIDE) ** 2
        self.head = nn.Sequential(ConvBlock(w0, w0), nn.Conv2d(w0, outputs, 1), nn.PixelShuffle(STEM // OUTPUT_STRIDE))

    @staticmethod
    def part_rows(objects: Sequence[str]) -> dict[str, list[str]]:
        """What each row stands for in the tensors whose rows belong to parts: see `weights.inherit`."""
        outputs = ["no part", *objects, *(f"center {i}" for i in range(CENTER_CHANNELS))]
        labels = [f"{output}, cell {i}" for output in outputs for i in range((STEM // OUTPUT_STRIDE) ** 2)]
        return {"head.1.weight": labels, "head.1.bias": labels}

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (B, 10, H, W) -> logits (B, classes + 1, H/2, W/2), centres (B, 4, H/2, W/2)."""
        x = self.stem(features)
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        for lateral, decoder, skip in zip(self.laterals, self.decoders, reversed(skips[:-1]), strict=True):
            x = nn.functional.interpolate(lateral(x), scale_factor=2.0, mode="nearest")
            x = decoder(x + skip)
        out = self.head(x)
        return out[:, : self.classes + 1], out[:, self.classes + 1 :]
