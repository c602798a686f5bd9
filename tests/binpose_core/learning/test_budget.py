"""Budgets in steps, samples and minutes, and one process that decides for all."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed

from binpose_core.base.threads import process_environment
from binpose_core.learning.hooks import StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.ranks import decided_by_rank_zero
from binpose_core.learning.training_loop import train


class FakeClock:
    """Seconds that pass at every look."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def batch(number: int) -> torch.Tensor:
    return torch.ones(8, 1)


def loss(network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"mean": network(x).square().mean()}


def steps_of(config: LoopConfig, clock: FakeClock) -> list[float]:
    fractions: list[float] = []
    train(torch.nn.Linear(1, 1), batch, loss, config, hooks=[StepReport(lambda f, _: fractions.append(f))], clock=clock)
    return fractions


def test_minutes_are_those_of_the_clock() -> None:
    assert steps_of(LoopConfig(minutes=1.0), FakeClock(7.5)) == [n / 8 for n in range(1, 9)]


def test_time_between_steps_counts_too() -> None:
    """A hook that takes as long as a step about halves the number of steps: 1, 2, 2, 2, 1 of 8 intervals."""
    clock = FakeClock(7.5)
    fractions: list[float] = []
    report = StepReport(lambda fraction, _: (clock(), fractions.append(fraction))[1])
    train(torch.nn.Linear(1, 1), batch, loss, LoopConfig(minutes=1.0), hooks=[report], clock=clock)
    assert fractions[-1] == 1.0 and len(fractions) == 5


def test_steps_and_samples_do_not_look_at_the_clock() -> None:
    assert len(steps_of(LoopConfig(steps=5, minutes=1e-6), FakeClock(99.0))) == 5
    assert steps_of(LoopConfig(samples=20, minutes=1e-6), FakeClock(99.0)) == pytest.approx([0.4, 0.8, 1.0])


@pytest.fixture
def gloo_group(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_alone_a_process_decides_for_itself() -> None:
    assert decided_by_rank_zero(0.1 + 0.2) == 0.1 + 0.2


def test_in_a_group_of_one_its_process_decides(gloo_group: None) -> None:
    assert decided_by_rank_zero(0.1 + 0.2) == 0.1 + 0.2
    assert len(steps_of(LoopConfig(minutes=1.0), FakeClock(7.5))) == 8


def test_processes_with_different_clocks_end_after_the_same_step(tmp_path: Path) -> None:
    """Each process runs this file, with a clock of its own."""
    environment = {**process_environment(1), "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [[sys.executable, __file__, str(rank), str(tmp_path / "group")] for rank in range(2)]
    ranks = [subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) for line in commands]
    assert [process.communicate(timeout=240)[0].strip() for process in ranks] == ["8", "8"]


if __name__ == "__main__":
    number = int(sys.argv[1])
    distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=number, world_size=2)
    taken: list[torch.Tensor] = []
    clock = FakeClock(7.5 if number == 0 else 1.0)
    count = lambda network, x: (taken.append(x), loss(network, x))[1]  # noqa: E731
    train(torch.nn.Linear(1, 1), batch, count, LoopConfig(minutes=1.0), clock=clock)
    print(len(taken))
    distributed.destroy_process_group()
