"""The shared pose network: backbone + conditioning + head."""

from collections.abc import Sequence

import torch
from torch import nn

from binpose_estimator.backbone import ConvolutionalBackbone
from binpose_estimator.crops import CHANNELS
from binpose_estimator.head import HypothesesHead, PosePrediction


class PoseNetwork(nn.Module):
    """Crops (B, 9, 64, 64) and classes (B,) in 0..C-1 -> PosePrediction: one network for all parts."""

    def __init__(self, classes: int, widths: tuple[int, int, int] = (48, 96, 160), hypotheses: int = 5) -> None:
        super().__init__()
        self.backbone = ConvolutionalBackbone(len(CHANNELS), classes, widths)
        self.head = HypothesesHead(widths[1], widths[2], classes, hypotheses)

    def part_rows(self, objects: Sequence[str]) -> dict[str, Sequence[str]]:
        """What each row stands for in the tensors whose rows belong to parts: see `weights.inherit`."""
        embeddings = (name for name, module in self.named_modules() if isinstance(module, nn.Embedding))
        return {f"{name}.weight": objects for name in embeddings}

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
        """(B, 9, 64, 64) and classes (B,) -> the poses of B crops."""
        return self.head(*self.backbone(crops, classes), classes)
