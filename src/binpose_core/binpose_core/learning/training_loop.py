"""The one training loop: a time budget instead of a number of steps, weight averaging, checkpoints."""

import contextlib
import copy
import itertools
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from binpose_core.base.errors import BinposeError, Diverged
from binpose_core.base.precision import Network, autocast
from binpose_core.base.threads import available_cpus, kernels_may_overlap
from binpose_core.learning.weights import Progress, load_checkpoint, save_checkpoint

LossFunction = Callable[[torch.nn.Module, Any], dict[str, torch.Tensor]]
Batch = TypeVar("Batch")
StepCallback = Callable[[float, dict[str, float]], None]


MOST_LOST = 50
"""Steps without a finite gradient, one after the other, that end a training: single ones are left out."""


@dataclass(frozen=True)
class LoopConfig:
    """minutes: training time on this machine; steps: take this number of steps instead.

    learning_rate: the highest of AdamW; it rises over the first `warmup` share of the run and falls to zero along a
        cosine.
    weight_decay: AdamW's.
    average_steps: time constant of the exponential moving average of the weights, which is what is returned.
    max_gradient: a longer gradient, over all weights, is cut to this norm.
    checkpoint_s: seconds between checkpoints.
    low_precision: bfloat16 where the processor is faster with it.
    """

    minutes: float = 10.0
    steps: int | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.03
    average_steps: int = 200
    max_gradient: float = 5.0
    checkpoint_s: float = 60.0
    low_precision: bool = True

    def __post_init__(self) -> None:
        if self.minutes <= 0 or (self.steps is not None and self.steps < 1):
            raise BinposeError(f"minutes must be > 0 and steps >= 1, got {self.minutes} and {self.steps}.")
        if self.learning_rate <= 0:
            raise BinposeError(f"learning_rate must be > 0, got {self.learning_rate}.")
        if not 0 <= self.warmup < 1:
            raise BinposeError(f"warmup must be a share in [0, 1), got {self.warmup}.")

    def rate(self, progress: float) -> float:
        """The learning rate at a progress in [0, 1]."""
        if progress < self.warmup:
            return self.learning_rate * (progress / self.warmup + 0.01)
        angle = np.pi * min(1.0, (progress - self.warmup) / (1.0 - self.warmup))
        return self.learning_rate * float(0.5 + 0.5 * np.cos(angle)) + 1e-6


def train(
    network: Network,
    make_batch: Callable[[int], Any],
    loss_function: LossFunction,
    config: LoopConfig,
    checkpoint: Path | None = None,
    on_step: StepCallback | None = None,
) -> Network:
    """Train until the budget is spent; returns the averaged network, in evaluation mode.

    Args:
        network: trained in place, on the device that it is on.
        make_batch: the batch of a step, by the step's number; called in a background thread. Its tensors are moved to
            the network's device.
        loss_function: (network, batch) to the losses by name, whose sum is minimised.
        config: the budget and how it is spent.
        checkpoint: where the run is kept. One that exists is gone on from; it is written every `checkpoint_s`, when the
            run is interrupted and at its end.
        on_step: called after each step with the share of the budget spent and the losses.

    Raises:
        BinposeError: if the checkpoint is damaged or belongs to another network, or cannot be written; if the training
            diverges.
    """
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, network, average, optimizer)
    network.train()
    saved, lost = time.monotonic(), 0
    device = next(network.parameters()).device
    batches = prefetched(make_batch, progress.steps, threads=None if device.type == "cpu" else _threads_for_gpu())
    try:
        while progress.share < 1.0:
            began = time.monotonic()
            batch, rate = on_device(next(batches), device), config.rate(progress.share)
            losses, moved = _step(network, batch, loss_function, optimizer, config, rate, device)
            lost = 0 if moved else lost + 1
            if lost == MOST_LOST:
                raise Diverged(
                    f"The training diverged: {lost} steps in a row had no finite gradient (losses {losses}); expected "
                    "finite ones; choose a lower learning_rate, or check the views.",
                    lost,
                    losses,
                )
            steps = progress.steps + 1
            _update_average(average, network, min(config.average_steps, 10 + steps // 4))
            spent = (time.monotonic() - began) / 60.0 / config.minutes
            share = progress.share + spent if config.steps is None else steps / config.steps
            progress = Progress(min(share, 1.0), steps)
            if on_step is not None:
                on_step(progress.share, losses)
            if checkpoint is not None and time.monotonic() - saved > config.checkpoint_s:
                save_checkpoint(checkpoint, network, average, optimizer, progress)
                saved = time.monotonic()
    finally:
        batches.close()
        if checkpoint is not None:
            save_checkpoint(checkpoint, network, average, optimizer, progress)
    return average


def _step(
    network: torch.nn.Module,
    batch: Any,
    loss_function: LossFunction,
    optimizer: torch.optim.Optimizer,
    config: LoopConfig,
    rate: float,
    device: torch.device,
) -> tuple[dict[str, float], bool]:
    """The losses, and whether the weights moved: a gradient that is not finite is left out."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    with autocast(device) if config.low_precision else contextlib.nullcontext():
        losses = loss_function(network, batch)
    total = sum(losses.values(), torch.zeros(()))
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.max_gradient)
    finite = bool(torch.isfinite(norm))
    if finite:
        optimizer.step()
    return {name: float(value.detach()) for name, value in losses.items()}, finite


@torch.no_grad()
def _update_average(average: torch.nn.Module, network: torch.nn.Module, steps: float) -> None:
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1.0 / steps)
        else:
            mean.copy_(value)


def _threads_for_gpu() -> int:
    """Beside a GPU, which waits for batches, the processor has nothing else to do."""
    return max(2, available_cpus() - 1) if kernels_may_overlap() else 1


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The same with all its tensors on the device, however they are kept: in sequences, mappings or dataclasses."""
    return batch if device.type == "cpu" else _moved(batch, device)


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        moved = [_moved(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    if is_dataclass(batch) and not isinstance(batch, type):
        return type(batch)(**{field.name: _moved(getattr(batch, field.name), device) for field in fields(batch)})
    return batch


def prefetched(
    make: Callable[[int], Any], start: int = 0, depth: int | None = None, threads: int | None = None
) -> Generator[Any, None, None]:
    """make(start), make(start + 1), ... computed up to `depth` ahead in background threads, in order.

    numpy, numba, OpenCV and torch release the lock, so this costs the consumer little. What `make` raises is raised
    here. The threads end with the generator: `close` it. By default there are two, or one where numba's kernels cannot
    run side by side; and two items, at least four, are ahead for each.
    """
    threads = threads or (2 if kernels_may_overlap() else 1)
    depth = depth or max(4, 2 * threads)
    with ThreadPoolExecutor(threads, thread_name_prefix="prefetch") as pool:
        ahead = deque(pool.submit(make, start + i) for i in range(depth))
        try:
            for number in itertools.count(start + depth):
                item = ahead.popleft().result()
                ahead.append(pool.submit(make, number))
                yield item
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
