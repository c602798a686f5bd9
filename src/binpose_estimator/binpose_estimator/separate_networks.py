"""A network of its own for each part: the conditioning `single`, against which shared networks are measured."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crops import CropInputs
from binpose_estimator.network import PoseNetwork
from binpose_estimator.poses import DecodedPoses, Prediction, concatenate_predictions


class SeparateNetworks(PoseNetwork):
    """Networks of the same architecture that share nothing, in one module; the classes divide each batch among them.

    Each tensor has a row per part, with the values of that part's network. Batch statistics are taken over the crops
    of one part.

    Args:
        networks: one per class, each for one part.
    """

    def __init__(self, networks: Sequence[PoseNetwork]) -> None:
        nn.Module.__init__(self)
        self._template = (networks[0],)  # in a tuple: its weights are replaced by rows of this module's
        self._shapes = {name: value.shape for name, value in networks[0].state_dict().items()}
        states = [network.state_dict() for network in networks]
        trained = {name for name, _ in networks[0].named_parameters()}
        for name in self._shapes:
            rows = torch.stack([state[name].detach().flatten() for state in states])
            if name in trained:
                self.register_parameter(_key(name), nn.Parameter(rows))
            else:
                self.register_buffer(_key(name), rows)

    def part_rows(self, objects: Sequence[str]) -> dict[str, Sequence[str]]:
        """What each row stands for: all tensors consist of rows of parts."""
        return {_key(name): objects for name in self._shapes}

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> Any:
        """(B, C, n, n) and classes (B,) -> the prediction of B crops."""
        (template,) = self._template
        template.train(self.training)
        order, found = [], []
        for number in classes.unique().tolist():
            rows = torch.nonzero(classes == number)[:, 0]
            state = self._state(number)
            found.append(torch.func.functional_call(template, state, (crops[rows], torch.zeros_like(rows))))
            order.append(rows)
        return concatenate_predictions(found).take(torch.argsort(torch.cat(order)))

    def separated(self) -> list[PoseNetwork]:
        """The network of each part by itself, with copies of its weights, which knows this part as class 0."""
        device = next(self.parameters()).device
        networks = []
        for number in range(len(next(self.parameters()))):
            network = copy.deepcopy(self._template[0]).to(device)
            network.load_state_dict(self._state(number))
            networks.append(network)
        return networks

    def _state(self, number: int) -> dict[str, torch.Tensor]:
        """The tensors of one part's network by name."""
        return {name: getattr(self, _key(name))[number].view(shape) for name, shape in self._shapes.items()}

    def decode(self, prediction: Prediction, inputs: CropInputs, parts: Sequence[ObjectModel]) -> DecodedPoses:
        """The poses that a prediction for these inputs stands for; `parts` are those of the B crops."""
        return self._template[0].decode(prediction, inputs, parts)


def _key(name: str) -> str:
    """The name of a tensor of all networks: names of parameters have no dots."""
    return name.replace(".", "__")
