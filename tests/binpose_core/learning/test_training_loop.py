import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError, Diverged
from binpose_core.learning.hooks import Hook, LoopState, StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.training_loop import train

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


def fractions(seen: list[float]) -> StepReport:
    """Collects the fraction of the budget after each step."""
    return StepReport(lambda fraction, _: seen.append(fraction))


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


def test_progress_rises_to_one_and_losses_are_reported() -> None:
    reported: list[tuple[float, dict[str, float]]] = []
    train(untrained(), line, loss, config(steps=10), hooks=[StepReport(lambda *step: reported.append(step))])
    np.testing.assert_allclose([fraction for fraction, _ in reported], np.arange(1, 11) / 10)
    assert all(set(losses) == {"square"} for _, losses in reported)


def test_the_budget_is_time() -> None:
    spent: list[float] = []
    began = time.monotonic()
    train(untrained(), line, loss, config(steps=None, minutes=0.3 / 60), hooks=[fractions(spent)])
    assert 0.25 < time.monotonic() - began < 10
    assert spent[-1] == 1 and (np.diff(spent) > 0).all()


class Interrupting(Hook):
    """Interrupts the run like Ctrl-C after a number of steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def after_step(self, state: LoopState) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = train(untrained(), line, loss, config(steps=40))
    with pytest.raises(KeyboardInterrupt):
        train(untrained(), line, loss, config(steps=40), path, [Interrupting(after=15)])
    assert path.exists()
    spent: list[float] = []
    resumed = train(untrained(), line, loss, config(steps=40), path, [fractions(spent)])
    np.testing.assert_allclose(spent, np.arange(16, 41) / 40)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    assert_no_worker_stays()


def test_an_interrupted_run_keeps_the_time_it_spent(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    spent: list[float] = []
    settings = config(steps=None, minutes=0.5 / 60)

    def stop(fraction: float, _: dict[str, float]) -> None:
        spent.append(fraction)
        if fraction > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(untrained(), line, loss, settings, path, [StepReport(stop)])
    later: list[float] = []
    train(untrained(), line, loss, settings, path, [fractions(later)])
    assert spent[-1] < later[0] and later[-1] == 1


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first = train(untrained(), line, loss, config(steps=20), path)
    steps: list[float] = []
    again = train(untrained(), line, loss, config(steps=20), path, [fractions(steps)])
    assert not steps
    torch.testing.assert_close(again.weight, first.weight, rtol=0, atol=0)


def test_checkpoints_are_written_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    seen: list[bool] = []
    report = StepReport(lambda *_: seen.append(path.exists()))
    train(untrained(), line, loss, config(steps=4, checkpoint_s=0.0), path, [report])
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
        train(untrained(), line, poisoned, config(steps=300), hooks=[fractions(steps)])
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
    report = StepReport(lambda *_: weights.append(network.weight.item()))
    average = train(network, line, loss, config(steps=60), hooks=[report])
    mean = weights[0]
    for step, weight in enumerate(weights[1:], start=1):
        mean += (weight - mean) / (10 + step // 4)
    assert average.weight.item() == pytest.approx(mean, rel=1e-5)


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
