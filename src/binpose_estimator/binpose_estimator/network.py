"""A pose network: a backbone and a head, both conditioned on the class of the part."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crops import CropInputs
from binpose_estimator.poses import DecodedPoses, PoseHead, Prediction


class PoseNetwork(nn.Module):
    """Crops (B, C, n, n) and classes (B,) in 0..classes-1 -> a prediction: one network for all parts.

    Args:
        backbone: crops and classes -> a tensor of features, or several.
        head: these features and the classes -> a prediction, which it can decode into poses.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def part_rows(self, objects: Sequence[str]) -> dict[str, Sequence[str]]:
        """What each row stands for in the tensors whose rows belong to parts: see `weights.inherit`."""
        embeddings = (name for name, module in self.named_modules() if isinstance(module, nn.Embedding))
        return {f"{name}.weight": objects for name in embeddings}

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> Any:
        """(B, C, n, n) and classes (B,) -> the prediction of B crops."""
        features = self.backbone(crops, classes)
        return self.head(*((features,) if isinstance(features, torch.Tensor) else features), classes)

    def decode(self, prediction: Prediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The poses that a prediction for these inputs stands for; `parts` are those of the B crops."""
        return cast(PoseHead, self.head).decode(prediction, inputs, parts)
