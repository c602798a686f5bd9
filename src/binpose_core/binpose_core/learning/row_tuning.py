"""Training of the rows of new parts alone, in a network that keeps all else bit for bit."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_core.learning.hooks import Hook, LoopState

Rows = Mapping[str, Sequence[str]]
"""What each row of a tensor stands for, by the tensor's name: see `weights.inherit`."""


class RowTuning(Hook):
    """Keeps everything but the new rows of a network as it is, statistics of batch normalisations included.

    Gradients of other rows are zero, other tensors have none, and weights do not decay. Hence the network gives the
    same outputs as before for what the old rows stand for.

    Args:
        network: that is trained, or the part of it with these tensors.
        known: what the rows stood for before.
        wanted: what they stand for now.

    Raises:
        BinposeError: if there are no new rows.
    """

    every_rank = True

    def __init__(self, network: nn.Module, known: Rows, wanted: Rows) -> None:
        self._network = network
        self.rows = {name: _new_rows(known.get(name, ()), labels) for name, labels in wanted.items()}
        if not any(self.rows.values()):
            raise BinposeError(
                f"The {type(network).__name__} has no rows for new parts to train; expected a network with weights "
                "per part, and a part that it does not know; train all weights instead, without --only-new-rows."
            )

    def before_training(self, state: LoopState) -> None:
        """Freeze what is not new."""
        for group in state.optimizer.param_groups:
            group["weight_decay"] = 0.0
        for name, weight in self._network.named_parameters():
            new = self.rows.get(name, [])
            if new:
                weight.register_hook(_RowMask(weight, new))
            else:
                weight.requires_grad_(False)
        for module in self._network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


class _RowMask:
    """A gradient with zeros in all rows but the new ones."""

    def __init__(self, weight: torch.Tensor, rows: Sequence[int]) -> None:
        self._new = torch.zeros(len(weight), *[1] * (weight.ndim - 1), dtype=torch.bool, device=weight.device)
        self._new[[*rows]] = True

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.where(self._new, torch.zeros((), dtype=gradient.dtype, device=gradient.device))


def _new_rows(known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    return [row for row, label in enumerate(wanted) if label not in set(known)]
