import pytest
import torch
from torch import nn

from binpose_estimator.conditioning import CONDITIONINGS, MultiOutput, find_conditioning
from binpose_estimator.output_layers import ClassLinear, conditioned_linear, conditioned_pointwise

CLASSES = 3


def test_outputs_are_those_of_all_classes_masked_by_the_own_one() -> None:
    """One linear layer for all classes, of which a mask leaves one block (Bengtson et al., 2022)."""
    layer, x, classes = ClassLinear(6, 4, CLASSES), torch.randn(5, 6), torch.tensor([2, 0, 1, 2, 2])
    everything = nn.functional.linear(x, layer.weight.flatten(0, 1), layer.bias.flatten()).view(5, CLASSES, 4)
    masked = (everything * nn.functional.one_hot(classes, CLASSES)[..., None]).sum(1)
    torch.testing.assert_close(layer(x, classes), masked)


def test_pixels_are_treated_alike() -> None:
    layer, x, classes = ClassLinear(6, 4, CLASSES), torch.randn(2, 6, 3, 5), torch.tensor([2, 0])
    pixel = layer(x[..., 1, 4], classes)
    assert layer(x, classes).shape == (2, 4, 3, 5)
    torch.testing.assert_close(layer(x, classes)[..., 1, 4], pixel)


def test_more_classes_change_nothing_to_the_bit() -> None:
    few, x, classes = ClassLinear(6, 4, 2), torch.randn(8, 6), torch.arange(8) % 2
    many = ClassLinear(6, 4, 9)
    with torch.no_grad():
        many.weight[:2], many.bias[:2] = few.weight, few.bias
        assert torch.equal(many(x, classes), few(x, classes))


@pytest.mark.parametrize("name", CONDITIONINGS)
def test_a_head_asks_for_its_last_layers_alike_whatever_the_conditioning(name: str) -> None:
    conditioning, classes = find_conditioning(name), torch.tensor([0, 2])
    linear = conditioned_linear(conditioning, 6, 4, CLASSES)
    pointwise = conditioned_pointwise(conditioning, 6, 4, CLASSES)
    x = torch.randn(1, 6).expand(2, -1)
    assert pointwise(torch.randn(2, 6, 3, 3), classes).shape == (2, 4, 3, 3)
    one, other = linear(x, classes)
    assert torch.allclose(one, other) is (conditioning is not MultiOutput)
