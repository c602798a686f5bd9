"""In which precision this machine runs convolutions fastest."""

import functools
from contextlib import AbstractContextManager
from typing import TypeVar

import torch

BFLOAT16 = ("avx512_bf16", "amx_bf16", "avx10_2")
"""Names, as torch says them, of what makes a processor fast in bfloat16."""

Network = TypeVar("Network", bound=torch.nn.Module)


def autocast(device: torch.device | str = "cpu") -> AbstractContextManager[None]:
    """A context in which convolutions run in bfloat16 where that is faster; weights and results stay float32."""
    kind = torch.device(device).type
    enabled = kind != "cpu" or fastest_precision() == torch.bfloat16
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=enabled)


def channels_last(network: Network) -> Network:
    """The network with its weights laid out channels last, in which processors run convolutions faster."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own types lack it
    return network


@functools.cache
def fastest_precision() -> torch.dtype:
    """bfloat16 on processors with instructions for it, where convolutions run twice as fast, else float32.

    Others emulate it and are several times slower. What the processor says decides, not a measurement: the same machine
    must give the same poses whatever else it is busy with.
    """
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if any(capabilities.get(name) for name in BFLOAT16) else torch.float32
