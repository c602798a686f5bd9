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
        return {
            f"{name}.{tensor}": objects for name, module in self.named_modules() for tensor in _rows_of_parts(module)
        }

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> Any:
        """(B, C, n, n) and classes (B,) -> the prediction of B crops."""
        features = self.backbone(crops, classes)
        return self.head(*((features,) if isinstance(features, torch.Tensor) else features), classes)

    def decode(self, prediction: Prediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The poses that a prediction for these inputs stands for; `parts` are those of the B crops."""
        return cast(PoseHead, self.head).decode(prediction, inputs, parts)


def _rows_of_parts(module: nn.Module) -> tuple[str, ...]:
    """Names of a layer's tensors with a row per class: those of embeddings, and of layers that name them."""
    own: tuple[str, ...] = ("weight",) if isinstance(module, nn.Embedding) else ()
    return getattr(module, "rows_of_parts", own)
