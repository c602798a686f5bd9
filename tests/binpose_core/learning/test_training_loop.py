import threading
import time
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError, Diverged
from binpose_core.learning.training_loop import LoopConfig, on_device, prefetched, train

Batch = tuple[torch.Tensor, torch.Tensor]
SLOPE, OFFSET = 2.0, -1.0


def line(number: int) -> Batch:
    """Points of a line; the batch depends on its number alone."""
    x = torch.randn(32, 1, generator=torch.Generator().manual_seed(number))
    return x, SLOPE * x + OFFSET


def loss(network: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    x, y = batch
    return {"square": (network(x) - y).square().mean()}


def untrained() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(1, 1)


def config(**changes: object) -> LoopConfig:
    return LoopConfig(**{"steps": 300, "learning_rate": 0.05, "weight_decay": 0.0, "low_precision": False, **changes})


def worker_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "prefetch"}


def assert_no_worker_stays() -> None:
    deadline = time.monotonic() + 5
    while worker_threads() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not worker_threads()


def test_learns_a_line() -> None:
    network = untrained()
    average = train(network, line, loss, config())
    assert average is not network and not average.training
    assert average.weight.item() == pytest.approx(SLOPE, abs=0.02)
    assert average.bias.item() == pytest.approx(OFFSET, abs=0.02)
    assert_no_worker_stays()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_learns_on_the_gpu_where_the_network_is(tmp_path: Path) -> None:
    network = untrained().to("cuda")
    average = train(network, line, loss, config(), tmp_path / "line.safetensors")
    assert average.weight.is_cuda
    assert average.weight.item() == pytest.approx(SLOPE, abs=0.02)
    assert train(untrained().to("cuda"), line, loss, config(), tmp_path / "line.safetensors").weight.is_cuda


def test_progress_rises_to_one_and_losses_are_told() -> None:
    told: list[tuple[float, dict[str, float]]] = []
    train(untrained(), line, loss, config(steps=10), on_step=lambda share, losses: told.append((share, losses)))
    np.testing.assert_allclose([share for share, _ in told], np.arange(1, 11) / 10)
    assert all(set(losses) == {"square"} for _, losses in told)


def test_the_budget_is_time() -> None:
    shares: list[float] = []
    began = time.monotonic()
    train(untrained(), line, loss, config(steps=None, minutes=0.3 / 60), on_step=lambda share, _: shares.append(share))
    assert 0.25 < time.monotonic() - began < 10
    assert shares[-1] == 1 and (np.diff(shares) > 0).all()


class Interrupting:
    """Interrupts the run like Ctrl-C after a number of steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, share: float, losses: dict[str, float]) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = train(untrained(), line, loss, config(steps=40))
    with pytest.raises(KeyboardInterrupt):
        train(untrained(), line, loss, config(steps=40), path, Interrupting(after=15))
    assert path.exists()
    shares: list[float] = []
    resumed = train(untrained(), line, loss, config(steps=40), path, lambda share, _: shares.append(share))
    np.testing.assert_allclose(shares, np.arange(16, 41) / 40)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    assert_no_worker_stays()


def test_an_interrupted_run_keeps_the_time_it_spent(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    spent: list[float] = []
    settings = config(steps=None, minutes=0.5 / 60)

    def stop(share: float, _: dict[str, float]) -> None:
        spent.append(share)
        if share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(untrained(), line, loss, settings, path, stop)
    later: list[float] = []
    train(untrained(), line, loss, settings, path, lambda share, _: later.append(share))
    assert spent[-1] < later[0] and later[-1] == 1


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first = train(untrained(), line, loss, config(steps=20), path)
    steps: list[float] = []
    again = train(untrained(), line, loss, config(steps=20), path, lambda share, _: steps.append(share))
    assert not steps
    torch.testing.assert_close(again.weight, first.weight, rtol=0, atol=0)


def test_checkpoints_are_written_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    seen: list[bool] = []
    train(untrained(), line, loss, config(steps=4, checkpoint_s=0.0), path, lambda *_: seen.append(path.exists()))
    assert seen == [False, True, True, True]


def test_a_damaged_checkpoint_stops_the_run_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    path.write_bytes(b"damaged")
    with pytest.raises(BinposeError, match="cannot be read"):
        train(untrained(), line, loss, config(), path)
    assert path.read_bytes() == b"damaged"


def test_a_step_without_a_finite_gradient_is_skipped() -> None:
    def poisoned(network: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"square": loss(network, batch)["square"] * torch.nan}

    before = untrained()
    after = train(untrained(), line, poisoned, config(steps=3))
    torch.testing.assert_close(after.weight, before.weight)


def test_a_training_that_diverged_ends() -> None:
    def poisoned(network: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"square": loss(network, batch)["square"] * torch.nan}

    steps: list[float] = []
    with pytest.raises(Diverged, match=r"diverged: 50 steps .*square.*lower learning_rate") as caught:
        train(untrained(), line, poisoned, config(steps=300), on_step=lambda share, _: steps.append(share))
    assert len(steps) == 49 and caught.value.steps == 50 and list(caught.value.losses) == ["square"]
    assert_no_worker_stays()


def test_single_steps_without_a_finite_gradient_end_nothing() -> None:
    made = iter(range(10**6))

    def often_poisoned(network: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"square": loss(network, batch)["square"] * (1.0 if next(made) % 10 == 0 else torch.nan)}

    average = train(untrained(), line, often_poisoned, config(steps=600))
    assert torch.isfinite(average.weight).all()


def test_the_average_is_the_moving_mean_of_the_steps() -> None:
    network = untrained()
    weights = [network.weight.item()]
    average = train(network, line, loss, config(steps=60), on_step=lambda *_: weights.append(network.weight.item()))
    mean = weights[0]
    for step, weight in enumerate(weights[1:], start=1):
        mean += (weight - mean) / (10 + step // 4)
    assert average.weight.item() == pytest.approx(mean, rel=1e-5)


def test_the_rate_rises_and_falls_to_nothing() -> None:
    settings = LoopConfig(learning_rate=1e-3, warmup=0.1)
    rates = np.array([settings.rate(p) for p in np.linspace(0, 1, 101)])
    assert (rates > 0).all() and rates.max() <= 1.02e-3
    assert rates.argmax() in (9, 10)
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all()
    assert rates[0] < 0.05e-3 and rates[-1] < 0.01e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0}, "minutes"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"warmup": 1.0}, "warmup"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        LoopConfig(**changes)


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


def test_a_failing_batch_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    def failing(number: int) -> Batch:
        if number == 5:
            raise BinposeError("view 5 is damaged")
        return line(number)

    path = tmp_path / "run.safetensors"
    with pytest.raises(BinposeError, match="view 5 is damaged"):
        train(untrained(), failing, loss, config(), path)
    assert path.exists()
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
