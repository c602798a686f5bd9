import pytest
import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_estimator import DefaultPreset
from binpose_estimator.features import tapped


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return DefaultPreset((8, 12, 16), hypotheses=2).network(3).eval()


def test_features_are_those_that_flow_through_the_network(network: nn.Module) -> None:
    x, classes = torch.randn(2, DefaultPreset.content.channels, 64, 64), torch.tensor([0, 2])
    with tapped(network, ["backbone.stages.1", "backbone", "head.embedding"]) as features:
        network(x, classes)
    assert set(features) == {"backbone.stages.1", "backbone", "head.embedding"}
    fine, coarse = features["backbone"]
    assert coarse.shape == (2, 16, 8, 8)
    torch.testing.assert_close(features["backbone.stages.1"], fine)
    torch.testing.assert_close(features["head.embedding"], network.head.embedding(classes))


def test_they_pass_gradients_to_the_layers_before_them_alone(network: nn.Module) -> None:
    with tapped(network, ["backbone.stages.1"]) as features:
        network(torch.randn(2, DefaultPreset.content.channels, 64, 64), torch.tensor([0, 1]))
    features["backbone.stages.1"].square().sum().backward()
    moved = {name.rpartition(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert {name.split(".")[2] for name in moved} == {"0", "1"} and all(name.startswith("backbone") for name in moved)


def test_the_taps_are_gone_afterwards(network: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="within"), tapped(network, ["backbone", "head"]):
        raise RuntimeError("within")
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["backbone.stages.7", ""])
def test_an_unknown_module_is_refused(network: nn.Module, name: str) -> None:
    sentence = rf"no module '{name}'; expected names of its modules, like backbone"
    with pytest.raises(BinposeError, match=sentence), tapped(network, [name]):
        pass
