"""Batches come in order, move to the device in any form, and are counted."""

import threading
import time
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning.batches import count_samples, on_device, prefetched


def worker_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "prefetch"}


def assert_no_worker_stays() -> None:
    deadline = time.monotonic() + 5
    while worker_threads() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not worker_threads()


def test_prefetched_items_come_in_order() -> None:
    items = prefetched(lambda number: number**2, start=3)
    assert [next(items) for _ in range(5)] == [9, 16, 25, 36, 49]
    items.close()
    assert_no_worker_stays()


def test_no_more_is_prefetched_than_asked_for() -> None:
    made: list[int] = []
    items = prefetched(made.append, depth=2, threads=1)
    next(items)
    time.sleep(0.1)
    assert len(made) <= 1 + 2 + 1  # used, waiting, in the making
    items.close()
    assert_no_worker_stays()


def test_what_the_worker_raises_is_raised_where_it_is_used() -> None:
    def failing(number: int) -> int:
        if number == 2:
            raise BinposeError("view 2 is damaged")
        return number

    items = prefetched(failing)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(BinposeError, match="view 2 is damaged"):
        next(items)
    assert_no_worker_stays()


@dataclass(frozen=True)
class Targets:
    classes: torch.Tensor
    names: tuple[str, ...]


Pair = namedtuple("Pair", "one other")


def test_a_batch_moves_whatever_its_form() -> None:
    """The meta device holds shapes alone, which is enough to see where tensors are."""
    values = torch.arange(3.0)
    batch = [values, (values, {"boxes": values}), Targets(values, ("bolt",)), Pair(values, 7)]
    assert on_device(batch, torch.device("cpu")) is batch
    plain, (nested, mapping), targets, pair = on_device(batch, torch.device("meta"))
    for moved in (plain, nested, mapping["boxes"], targets.classes, pair.one):
        assert moved.device.type == "meta" and moved.shape == (3,)
    assert targets.names == ("bolt",) and isinstance(pair, Pair) and pair.other == 7
    assert values.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_batch_moves_to_the_gpu() -> None:
    assert on_device({"x": torch.zeros(2)}, torch.device("cuda"))["x"].is_cuda


class Group:
    def __len__(self) -> int:
        return 7


@pytest.mark.parametrize(
    "batch, samples",
    [
        (torch.zeros(5, 3), 5),
        ((torch.zeros(4, 2), torch.zeros(9)), 4),
        (([torch.zeros(3, 8, 8)] * 2, ["target"] * 2), 2),
        ({"x": torch.zeros(6), "y": torch.zeros(1)}, 6),
        (Group(), 7),
        (np.zeros((3, 2)), 3),
        (torch.tensor(1.0), 1),
        (object(), 1),
    ],
)
def test_samples_are_those_of_the_inputs(batch: object, samples: int) -> None:
    assert count_samples(batch) == samples
