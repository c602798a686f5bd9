import numpy as np
import pytest
import torch

from binpose_estimator.conditioning import ConditionalInstanceNorm

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
