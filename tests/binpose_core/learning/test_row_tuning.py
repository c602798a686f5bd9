"""What is not new stays as it is, to the bit."""

import pytest
import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.row_tuning import RowTuning
from binpose_core.learning.training_loop import train

KNOWN, WANTED = {"0.weight": ["a", "b"]}, {"0.weight": ["a", "b", "c"]}


def trained(loop: LoopConfig) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 5), nn.BatchNorm1d(5))
    network[2].running_mean.normal_()
    before = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 5), nn.BatchNorm1d(5)).eval()
    before.load_state_dict(network.state_dict())

    def loss(network: nn.Module, classes: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"size": (network(classes) - 3).square().mean()}

    hook = RowTuning(network, KNOWN, WANTED)
    return before, train(network, lambda number: torch.arange(12) % 3, loss, loop, hooks=[hook])


def test_known_rows_stay_and_new_ones_learn() -> None:
    before, after = trained(LoopConfig(steps=8, learning_rate=0.3, weight_decay=0.5, low_precision=False))
    for name, value in before.state_dict().items():
        kept = value[:2] if name == "0.weight" else value
        assert torch.equal(after.state_dict()[name][: len(kept)] if value.ndim else after.state_dict()[name], kept)
    assert not torch.allclose(after[0].weight[2], before[0].weight[2])
    with torch.no_grad():
        old, new = torch.tensor([0, 1]), torch.tensor([2])
        assert torch.equal(before(old), after(old))
        assert (after(new) - 3).square().mean() < (before(new) - 3).square().mean()


def test_without_new_rows_there_is_nothing_to_train() -> None:
    with pytest.raises(BinposeError, match="has no rows for new parts to train; expected a network with weights per"):
        RowTuning(nn.Linear(2, 2), KNOWN, KNOWN)
