"""The one training loop: AdamW within a budget, an average of the weights, and hooks for all else."""

import contextlib
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from binpose_core.base.errors import Diverged
from binpose_core.base.precision import Network, autocast
from binpose_core.learning.batches import count_samples, on_device, prefetched, threads_beside
from binpose_core.learning.budget import Budget
from binpose_core.learning.hooks import Checkpoint, Hook, LoopState
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.ranks import (
    LossFunction,
    decided_by_rank_zero,
    rank,
    take_from_rank_zero,
    with_averaged_gradients,
    world_size,
)

MOST_LOST = 50
"""Steps without a finite gradient, one after the other, that end a training: single ones are left out."""


def train(
    network: Network,
    make_batch: Callable[[int], Any],
    loss_function: LossFunction,
    config: LoopConfig,
    checkpoint: Path | None = None,
    hooks: Sequence[Hook] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Network:
    """Train until the budget is spent; returns the averaged network, in evaluation mode.

    Of several processes (see `ranks`), each takes its steps on batches of its own, and all end with the same weights.

    Args:
        network: trained in place, on the device that it is on.
        make_batch: a batch by its number; called in a background thread. Its tensors are moved to the network's device.
            Step s of rank r of R processes has the batch s R + r.
        loss_function: (network, batch) to the losses by name, whose sum is minimised.
        config: the budget and how it is spent.
        checkpoint: where the run is kept. The run resumes from a file that exists; it is written every `checkpoint_s`,
            when the run is interrupted and at its end.
        hooks: called in this order after each step, when the step is counted and before it is saved.
        clock: seconds that rise.

    Raises:
        BinposeError: if the checkpoint is damaged or belongs to another network, or cannot be written; if the training
            diverges.
    """
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    state = LoopState(network, average, optimizer, config)
    saving: list[Checkpoint] = []
    if checkpoint is not None:
        saving = [Checkpoint(checkpoint, config.checkpoint_s, clock)]
        saving[0].restore(state)
    _run(state, make_batch, loss_function, [Budget(clock), *hooks, *saving])
    take_from_rank_zero(average)
    return average


def _run(
    state: LoopState, make_batch: Callable[[int], Any], loss_function: LossFunction, hooks: Sequence[Hook]
) -> None:
    """Take steps until the budget is spent; the hooks end in any case."""
    state.network.train()
    device, lost = next(state.network.parameters()).device, 0
    number, count = rank(), world_size()
    hooks = [hook for hook in hooks if hook.every_rank or number == 0]
    batches = prefetched(
        lambda step: make_batch(step * count + number), state.progress.steps, threads=threads_beside(device)
    )
    try:
        for hook in hooks:
            hook.before_training(state)
        losses = with_averaged_gradients(state.network, loss_function)
        while state.progress.fraction < 1.0:
            batch = on_device(next(batches), device)
            state.batch_samples = count_samples(batch)
            lost = 0 if _step(state, losses, batch, device) else lost + 1
            if lost == MOST_LOST:
                raise Diverged(
                    f"The training diverged: {lost} steps in a row had no finite gradient (losses {state.losses}); "
                    "expected finite ones; choose a lower learning_rate, or check the views.",
                    lost,
                    state.losses,
                )
            _update_average(state, state.progress.steps + 1)
            for hook in hooks:
                hook.after_step(state)
            state.progress = replace(state.progress, fraction=decided_by_rank_zero(state.progress.fraction))
    finally:
        batches.close()
        with contextlib.ExitStack() as ends:
            for hook in reversed(hooks):  # The stack calls the last one first.
                ends.callback(hook.after_training, state)


def _step(
    state: LoopState, loss_function: Callable[[Any], dict[str, torch.Tensor]], batch: Any, device: torch.device
) -> bool:
    """Whether the weights moved: a gradient that is not finite is left out."""
    network, config = state.network, state.config
    state.rate = config.rate(state.progress.fraction)
    for group in state.optimizer.param_groups:
        group["lr"] = state.rate
    state.optimizer.zero_grad(set_to_none=True)
    with autocast(device) if config.low_precision else contextlib.nullcontext():
        losses = loss_function(batch)
    total = sum(losses.values(), torch.zeros(()))
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.max_gradient)
    finite = bool(torch.isfinite(norm))
    if finite:
        state.optimizer.step()
    state.losses = {name: float(value.detach()) for name, value in losses.items()}
    return finite


@torch.no_grad()
def _update_average(state: LoopState, steps: int) -> None:
    """Move the average by one step; its time constant grows with the first steps."""
    constant = min(state.config.average_steps, 10 + steps // 4)
    averaged, trained = state.average.state_dict().values(), state.network.state_dict().values()
    for mean, value in zip(averaged, trained, strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1.0 / constant)
        else:
            mean.copy_(value)
