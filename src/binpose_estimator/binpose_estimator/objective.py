"""What a training of the pose network minimises, and what is optimised together with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from binpose_estimator.crops import CropInputs
from binpose_estimator.losses import PoseTargets

PoseLoss = Callable[[Any, CropInputs, PoseTargets], dict[str, torch.Tensor]]
"""(prediction, what the network saw, truth) -> losses by name, whose sum is minimised."""
PoseBatch = tuple[CropInputs, PoseTargets]


class Objective(nn.Module):
    """(network, batch) -> losses by name: the preset's loss of what the network predicts.

    A subclass adds or replaces losses; `features.tapped` gives it intermediate features to compare. Its own weights,
    such as the adapters of hint training, are optimised together with the network's. Keep a teacher out of
    `parameters()`, for example in a tuple.
    """

    def __init__(self, loss: PoseLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, network: nn.Module, batch: PoseBatch) -> dict[str, torch.Tensor]:
        """The losses by name, whose sum is minimised."""
        inputs, targets = batch
        prediction = network(inputs.x, targets.classes)
        with torch.autocast(inputs.x.device.type, enabled=False):
            return self.loss(prediction, inputs, targets)


class JointNetwork(nn.Module):
    """A network and an objective with weights of its own: one module to optimise, average and checkpoint."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: PoseBatch) -> dict[str, torch.Tensor]:
        """The losses of a batch."""
        losses: dict[str, torch.Tensor] = self.objective(self.network, batch)
        return losses
