"""The choice of precision works wherever it is asked for."""

import torch

from binpose_core.precision import autocast, channels_last, fastest_precision


def test_the_choice_is_made_once_and_inside_inference_mode_too() -> None:
    fastest_precision.cache_clear()
    with torch.inference_mode():
        chosen = fastest_precision()
    assert chosen in (torch.float32, torch.bfloat16)
    assert fastest_precision() is chosen


def test_autocast_keeps_weights_and_computes_nearly_the_same() -> None:
    layer = channels_last(torch.nn.Conv2d(8, 8, 3))
    x = torch.randn(1, 8, 9, 9)
    with torch.inference_mode(), autocast():
        y = layer(x)
    assert layer.weight.dtype == torch.float32
    assert torch.allclose(y.float(), layer(x), atol=0.05)
