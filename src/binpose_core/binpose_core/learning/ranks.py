"""A training in several processes (torch.distributed): which of them this one is, and what they share.

`torchrun` starts them. Each process, called a rank, takes a step on a batch of its own; gradients are averaged. Rank 0
alone writes files, and decides what clocks and measurements decide.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from binpose_core.base.devices import check_device
from binpose_core.base.errors import BinposeError

Value = TypeVar("Value")
LossFunction = Callable[[nn.Module, Any], dict[str, torch.Tensor]]

LONGEST_WAIT = timedelta(days=1)
"""For rank 0, which simulates and calibrates while the others wait."""


@contextlib.contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the processes that `torchrun` started with this one, if it did; yields the device of this process.

    Args:
        device: cpu, or cuda: then process n of a machine has its n-th GPU.

    Raises:
        BinposeError: for one GPU that is named for all processes, and if there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield device
        return
    own = _own_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if own != "cpu" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield own
        distributed.barrier()  # No process takes its connections away while another one still uses them.
    finally:
        distributed.destroy_process_group()


def _own_device(device: str) -> str:
    check_device(device)
    if torch.device(device).type == "cpu":
        return "cpu"
    if torch.device(device).index is not None:
        raise BinposeError(
            f"The device is {device!r} for {os.environ['WORLD_SIZE']} processes; expected cuda, of which each process "
            "takes its own GPU; choose that."
        )
    own = f"cuda:{os.environ['LOCAL_RANK']}"
    check_device(own)
    torch.cuda.set_device(own)
    return own


def world_size() -> int:
    """The number of processes that train together."""
    return distributed.get_world_size() if _is_shared() else 1


def rank() -> int:
    """The number of this process among them; 0 for the one that writes, and for one that trains alone."""
    return distributed.get_rank() if _is_shared() else 0


def decided_by_rank_zero(value: float) -> float:
    """The value that the process of rank 0 has, in all processes of a distributed training; else the value itself.

    Clocks differ between processes. One that ends a step before the others would leave them waiting for its gradients.
    """
    if not _is_shared():
        return value
    decided = torch.tensor([value], dtype=torch.float64, device=_control_device())
    distributed.broadcast(decided, src=0)
    return float(decided.item())


def summed_over_ranks(value: int) -> int:
    """The sum of the values of all processes; alone, the value itself."""
    if not _is_shared():
        return value
    total = torch.tensor([value], dtype=torch.int64, device=_control_device())
    distributed.all_reduce(total)
    return int(total.item())


def by_rank_zero(make: Callable[[], Value]) -> Value:
    """What rank 0 makes; the other processes wait for it and get a copy. `make` is called in rank 0 alone."""
    if not _is_shared():
        return make()
    made: list[Any] = [make() if rank() == 0 else None]
    distributed.broadcast_object_list(made, src=0, device=_control_device())
    value: Value = made[0]
    return value


@torch.no_grad()
def take_from_rank_zero(network: nn.Module) -> None:
    """Give a network the tensors that it has in rank 0, such as statistics of batch normalisations."""
    if not _is_shared():
        return
    for value in network.state_dict().values():
        shared = value.detach().clone(memory_format=torch.contiguous_format)
        distributed.broadcast(shared, src=0)
        value.copy_(shared)


def with_averaged_gradients(
    network: nn.Module, loss_function: LossFunction
) -> Callable[[Any], dict[str, torch.Tensor]]:
    """The losses of a batch, by name; their gradients are averaged over all processes as they are computed.

    A loss may call the network several times, and need not use all of its weights.

    Args:
        network: frozen weights must be frozen already.
        loss_function: (network, batch) to the losses by name.
    """
    losses = _Losses(network, loss_function)
    return DistributedDataParallel(losses, find_unused_parameters=True) if _is_shared() else losses


class _Losses(nn.Module):
    """A network and its losses as one module, whose weights are the network's alone."""

    def __init__(self, network: nn.Module, loss_function: LossFunction) -> None:
        super().__init__()
        self.network, self._loss_function = network, (loss_function,)  # in a tuple: it may be a module itself

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        (loss_function,) = self._loss_function
        return loss_function(self.network, batch)


def _is_shared() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _control_device() -> torch.device:
    """Where values are exchanged that are no tensors of a network."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
