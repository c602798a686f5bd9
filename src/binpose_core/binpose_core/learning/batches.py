"""Batches of a training: prepared ahead in threads, moved to the network's device, and counted."""

import itertools
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch

from binpose_core.base.threads import available_cpus, kernels_may_overlap

Batch = TypeVar("Batch")


def threads_beside(device: torch.device) -> int | None:
    """Threads that prepare batches; None = the default. Beside a GPU the processor has nothing else to do."""
    if device.type == "cpu":
        return None
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


def count_samples(batch: Any) -> int:
    """Samples in a batch: its own length where it is a dataclass that has one, else that of its first tensor or list.

    A tuple or a mapping holds the sides of the batch, such as inputs and targets: its first entry counts.
    """
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    if isinstance(batch, tuple) and batch:
        return count_samples(batch[0])
    if isinstance(batch, dict) and batch:
        return count_samples(next(iter(batch.values())))
    return len(batch) if hasattr(batch, "__len__") else 1


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
