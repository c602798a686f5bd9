"""Trainings in two processes that `torchrun` starts; each of them runs this file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose_core.base.files import write_json
from binpose_core.base.threads import process_environment
from binpose_core.learning.hooks import Hook, LoopState
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.ranks import by_rank_zero, process_group, rank, world_size
from binpose_core.learning.training_loop import train
from binpose_core.learning.weights import read_progress

BATCH, SAMPLES = 4, 48
STEPS = SAMPLES // (2 * BATCH)
LOOP = LoopConfig(samples=SAMPLES, low_precision=False, learning_rate=0.05, average_steps=3)


def network_of(normalised: bool) -> torch.nn.Module:
    torch.manual_seed(3)
    norm = torch.nn.BatchNorm1d(8) if normalised else torch.nn.Identity()
    return torch.nn.Sequential(torch.nn.Linear(3, 8), norm, torch.nn.Tanh(), torch.nn.Linear(8, 1))


def batch(number: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(number).normal(size=(BATCH, 3)).astype(np.float32))


def loss(network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two passes of the network, as objectives have that compare predictions."""
    twice = network(x) + network(-x)
    return {"product": (twice - x.prod(1, keepdim=True)).square().mean(), "size": 0.1 * network(x).abs().mean()}


class Steps(Hook):
    """Counts the steps of this process, and presses Ctrl-C after some of them."""

    def __init__(self, most: int) -> None:
        self.most, self.seen = most, 0

    def after_step(self, state: LoopState) -> None:
        self.seen += 1
        if self.seen == self.most:
            raise KeyboardInterrupt


class Trained:
    """What a process writes down of a training."""

    def __init__(self, file: Path) -> None:
        values = json.loads(file.read_text())
        self.weights, self.batches, self.hook_calls = values["weights"], values["batches"], values["hook_calls"]


def trained(folder: Path, normalised: bool, most: int) -> None:
    """One process: train, and write what it ends with."""
    kind = "normalised" if normalised else "plain"
    taken: list[list[list[float]]] = []

    def noted(network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
        taken.append(x.tolist())
        return loss(network, x)

    steps = Steps(most)
    average = train(network_of(normalised), batch, noted, LOOP, folder / f"{kind}.safetensors", [steps])
    weights = {name: value.tolist() for name, value in average.state_dict().items()}
    write_json(folder / f"{kind}_{rank()}.json", {"weights": weights, "batches": taken, "hook_calls": steps.seen})


def torchrun(folder: Path, most: int = 0) -> tuple[int, str]:
    """Train in two processes in a folder; the exit status and what went wrong."""
    folder.mkdir(exist_ok=True)
    environment = {**process_environment(1), "PYTHONPATH": os.pathsep.join(sys.path)}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*launcher, __file__, str(folder), str(most)],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stderr


def results(folder: Path, kind: str = "normalised") -> tuple[Trained, Trained]:
    """Those of both processes."""
    return Trained(folder / f"{kind}_0.json"), Trained(folder / f"{kind}_1.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training from its beginning to its end."""
    folder = tmp_path_factory.mktemp("whole")
    status, problem = torchrun(folder)
    assert status == 0, problem
    return folder


def test_processes_see_different_samples_and_end_with_the_same_weights(whole: Path) -> None:
    first, second = results(whole)
    assert first.weights == second.weights
    assert not {str(x) for x in first.batches} & {str(x) for x in second.batches}
    assert len(first.batches) == len(second.batches) == STEPS, "the budget counts both"
    progress = read_progress(whole / "normalised.safetensors")
    assert (progress.steps, progress.samples, progress.fraction) == (STEPS, SAMPLES, 1.0)
    assert (first.hook_calls, second.hook_calls) == (STEPS, 0), "hooks run in the first process alone"


def test_two_processes_learn_what_one_learns_from_their_batches_together(whole: Path) -> None:
    """Without batch normalisation, whose statistics are those of one process."""
    first, _ = results(whole, "plain")
    together = lambda number: torch.cat([batch(2 * number), batch(2 * number + 1)])  # noqa: E731
    alone = train(network_of(False), together, loss, LOOP)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(torch.tensor(first.weights[name]), value, atol=1e-5, rtol=1e-4)


def test_an_interrupted_training_resumes_where_it_was(whole: Path, tmp_path: Path) -> None:
    status, _ = torchrun(tmp_path, most=2)
    assert status != 0 and read_progress(tmp_path / "normalised.safetensors").steps == 2
    status, problem = torchrun(tmp_path)
    assert status == 0, problem
    (first, second), (expected, _) = results(tmp_path), results(whole)
    assert first.weights == second.weights
    assert first.batches == expected.batches[2:], "no batch is seen twice"
    for name, value in first.weights.items():
        np.testing.assert_allclose(value, expected.weights[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_alone_a_process_is_rank_zero_of_one() -> None:
    with process_group("cpu") as device:
        assert (device, rank(), world_size(), by_rank_zero(lambda: 7)) == ("cpu", 0, 1, 7)


if __name__ == "__main__":
    with process_group("cpu"):
        assert by_rank_zero(rank) == 0
        for normalised in (True, False):
            trained(Path(sys.argv[1]), normalised, int(sys.argv[2]))
