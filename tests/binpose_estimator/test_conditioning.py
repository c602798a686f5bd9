import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_estimator.conditioning import (
    CONDITIONINGS,
    ConditionalInstanceNorm,
    FeatureModulation,
    OneHotCode,
    code_size,
    find_conditioning,
)

CHANNELS, CLASSES = 5, 3


@pytest.fixture
def norm() -> ConditionalInstanceNorm:
    torch.manual_seed(0)
    norm = ConditionalInstanceNorm(CHANNELS, CLASSES)
    with torch.no_grad():
        norm.gamma.weight.normal_()
        norm.beta.weight.normal_()
    return norm


def test_is_equation_4(norm: ConditionalInstanceNorm, rng: np.random.Generator) -> None:
    """cin(F, c) = gamma_c (F - mean) / deviation + beta_c, with the statistics of each image and channel."""
    features, classes = rng.normal(2, 3, (4, CHANNELS, 7, 6)).astype(np.float32), np.array([2, 0, 1, 2])
    expected = np.empty_like(features)
    for b, c in enumerate(classes):
        for k in range(CHANNELS):
            plane = features[b, k]
            gamma, beta = norm.gamma.weight[c, k].item(), norm.beta.weight[c, k].item()
            expected[b, k] = gamma * (plane - plane.mean()) / np.sqrt(plane.var() + 1e-5) + beta
    with torch.inference_mode():
        result = norm(torch.from_numpy(features), torch.from_numpy(classes)).numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_contrast_and_offset_of_the_features_do_not_matter(norm: ConditionalInstanceNorm) -> None:
    features, classes = torch.randn(2, CHANNELS, 8, 8), torch.tensor([0, 1])
    torch.testing.assert_close(norm(7 * features - 4, classes), norm(features, classes), rtol=1e-3, atol=1e-3)


def test_begins_without_preference() -> None:
    fresh = ConditionalInstanceNorm(CHANNELS, CLASSES)
    features = torch.randn(1, CHANNELS, 8, 8)
    first = fresh(features, torch.tensor([0]))
    torch.testing.assert_close(fresh(features, torch.tensor([2])), first)
    torch.testing.assert_close(first.mean((2, 3)), torch.zeros(1, CHANNELS), rtol=0, atol=1e-5)


def test_a_class_is_taught_by_its_own_examples_alone(norm: ConditionalInstanceNorm) -> None:
    norm(torch.randn(3, CHANNELS, 8, 8), torch.tensor([0, 2, 2])).square().sum().backward()
    for table in (norm.gamma.weight, norm.beta.weight):
        assert table.grad[[0, 2]].abs().sum(1).all() and not table.grad[1].any()


FEATURES = ("cin", "film", "one_hot")
"""Conditionings of the features; the others leave them as they are."""


@pytest.mark.parametrize("name", FEATURES)
def test_classes_are_treated_alike_at_first_and_differently_once_learnt(name: str) -> None:
    torch.manual_seed(0)
    layer, features = find_conditioning(name)(CHANNELS, CLASSES), torch.randn(1, CHANNELS, 8, 8).expand(2, -1, -1, -1)
    one, other = layer(features, torch.tensor([0, 2]))
    assert torch.equal(one, other)
    layer(features, torch.tensor([0, 2]))[0].sum().backward()
    with torch.no_grad():
        for weight in layer.parameters():
            weight -= weight.grad
    one, other = layer(features, torch.tensor([0, 2]))
    assert one.shape == other.shape == (CHANNELS, 8, 8)
    assert not torch.allclose(one, other)


def test_modulation_scales_and_shifts_each_channel(rng: np.random.Generator) -> None:
    layer = FeatureModulation(CHANNELS, CLASSES)
    features, classes = torch.randn(2, CHANNELS, 4, 4), torch.tensor([2, 1])
    with torch.no_grad():
        layer.gamma.weight.normal_()
        layer.beta.weight.normal_()
    for b, c in enumerate(classes):
        expected = layer.gamma.weight[c][:, None, None] * features[b] + layer.beta.weight[c][:, None, None]
        torch.testing.assert_close(layer(features, classes)[b], expected)


@pytest.mark.parametrize("name", FEATURES)
def test_rows_of_one_class_change_no_other(name: str) -> None:
    torch.manual_seed(0)
    layer, features = find_conditioning(name)(CHANNELS, CLASSES), torch.randn(CLASSES, CHANNELS, 4, 4)
    before = layer(features, torch.arange(CLASSES))
    with torch.no_grad():
        for table in layer.parameters():
            table[1] += 1.0
    after = layer(features, torch.arange(CLASSES))
    assert torch.equal(before[[0, 2]], after[[0, 2]]) and not torch.allclose(before[1], after[1])


@pytest.mark.parametrize("name", sorted(set(CONDITIONINGS) - set(FEATURES)))
def test_the_others_leave_the_features_and_need_no_code(name: str) -> None:
    layer, features = find_conditioning(name)(CHANNELS, CLASSES), torch.randn(2, CHANNELS, 4, 4)
    assert layer(features, torch.tensor([0, 2])) is features
    assert code_size(find_conditioning(name), 64) == 0 and code_size(find_conditioning("cin"), 64) == 64


def test_a_one_hot_code_is_appended_to_the_features() -> None:
    """A 1 x 1 convolution over features and code, of which the features' part is the identity, does the same."""
    layer, classes = OneHotCode(CHANNELS, CLASSES), torch.tensor([2, 0])
    features, code = torch.randn(2, CHANNELS, 4, 4), torch.eye(CLASSES)[classes]
    torch.nn.init.normal_(layer.beta.weight)
    appended = torch.cat([features, code[..., None, None].expand(-1, -1, 4, 4)], 1)
    weight = torch.cat([torch.eye(CHANNELS), layer.beta.weight.detach().T], 1)[..., None, None]
    torch.testing.assert_close(layer(features, classes), torch.nn.functional.conv2d(appended, weight))


def test_an_unknown_conditioning_is_refused() -> None:
    with pytest.raises(BinposeError, match="'telepathy' is unknown; expected cin, film, one_hot, multi_output, single"):
        find_conditioning("telepathy")
