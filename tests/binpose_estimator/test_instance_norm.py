import pytest
import torch

from binpose_estimator.instance_norm import instance_norm

Given = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def arguments(shape: tuple[int, int, int, int], kind: torch.dtype) -> Given:
    generator = torch.Generator().manual_seed(0)
    features = 2 * torch.randn(shape, generator=generator) + 1
    gamma, beta = torch.randn(2, *shape[:2], generator=generator)
    features, gamma, beta = (one.to(kind).requires_grad_() for one in (features, gamma, beta))
    return features, gamma, beta


def recorded(features: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """The same, with torch's own gradient."""
    normalized = torch.nn.functional.instance_norm(features, eps=1e-5)
    return gamma[..., None, None] * normalized + beta[..., None, None]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_result_and_gradients_are_those_of_torch(layout: torch.memory_format) -> None:
    weight = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    found = []
    for function in (instance_norm, recorded):
        given = arguments((3, 4, 6, 5), torch.float32)
        result = function(given[0].to(memory_format=layout), given[1], given[2])
        found.append([result.detach(), *torch.autograd.grad((result * weight).sum(), given)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_only_what_needs_a_gradient_gets_one() -> None:
    features, gamma, beta = arguments((2, 3, 4, 4), torch.float32)
    instance_norm(features.detach(), gamma, beta).sum().backward()
    assert features.grad is None and gamma.grad is not None and beta.grad is not None
    with torch.inference_mode():
        assert not instance_norm(features, gamma, beta).requires_grad


def test_half_precision_stays_half_precision() -> None:
    given = arguments((2, 3, 8, 8), torch.bfloat16)
    result = instance_norm(*given)
    gradients = torch.autograd.grad(result.float().square().sum(), given)
    assert result.dtype == torch.bfloat16 and all(one.dtype == torch.bfloat16 for one in gradients)
    expected = recorded(given[0].float(), given[1].float(), given[2].float())
    torch.testing.assert_close(result.float(), expected, rtol=0.03, atol=0.03)


def test_an_image_of_one_value_has_no_gradient_that_explodes() -> None:
    given = arguments((1, 2, 4, 4), torch.float32)
    result = instance_norm(torch.zeros_like(given[0]) * given[0], given[1], given[2])
    assert all(one.isfinite().all() for one in torch.autograd.grad(result.sum(), given))
