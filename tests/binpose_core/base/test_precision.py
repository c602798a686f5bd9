"""The precision is the processor's, whatever else it is busy with."""

import pytest
import torch

from binpose_core.base.precision import autocast, channels_last, fastest_precision


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_the_processor_decides(capabilities, expected, monkeypatch: pytest.MonkeyPatch) -> None:
    fastest_precision.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fastest_precision() is expected
    with autocast():
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype is expected
    fastest_precision.cache_clear()


def test_an_older_torch_that_cannot_tell_stays_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    fastest_precision.cache_clear()
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert fastest_precision() is torch.float32
    fastest_precision.cache_clear()


def test_autocast_keeps_weights_and_computes_nearly_the_same() -> None:
    layer = channels_last(torch.nn.Conv2d(8, 8, 3))
    x = torch.randn(1, 8, 9, 9)
    with torch.inference_mode(), autocast():
        y = layer(x)
    assert layer.weight.dtype == torch.float32
    assert torch.allclose(y.float(), layer(x), atol=0.05)
