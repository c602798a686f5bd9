"""Hooks are called in order, end in any case, and see what the loop knows."""

from pathlib import Path

import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning.hooks import Hook, LoopState, StepReport, Validation
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.training_loop import train


def batch(number: int) -> torch.Tensor:
    return torch.ones(8, 1)


def loss(network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"mean": network(x).square().mean()}


def run(*hooks: Hook, steps: int = 8, checkpoint: Path | None = None) -> None:
    train(torch.nn.Linear(1, 1), batch, loss, LoopConfig(steps=steps, low_precision=False), checkpoint, hooks)


class Recording(Hook):
    def __init__(self, name: str, calls: list[str], fail: bool = False) -> None:
        self.name, self.calls, self.fail = name, calls, fail

    def before_training(self, state: LoopState) -> None:
        self.calls.append(f"{self.name} before")

    def after_step(self, state: LoopState) -> None:
        self.calls.append(f"{self.name} step {state.progress.steps}")
        if self.fail:
            raise KeyboardInterrupt

    def after_training(self, state: LoopState) -> None:
        self.calls.append(f"{self.name} after")


def test_hooks_are_called_in_order() -> None:
    calls: list[str] = []
    run(Recording("a", calls), Recording("b", calls), steps=2)
    assert calls == [
        "a before", "b before", "a step 1", "b step 1", "a step 2", "b step 2", "a after", "b after",
    ]  # fmt: skip


def test_all_hooks_end_when_one_fails() -> None:
    calls: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(Recording("a", calls, fail=True), Recording("b", calls))
    assert calls == ["a before", "b before", "a step 1", "a after", "b after"]


def test_validation_measures_the_average_at_even_fractions() -> None:
    measured: list[torch.nn.Module] = []
    seen: list[dict[str, float]] = []

    def measure(network: torch.nn.Module) -> dict[str, float]:
        assert not network.training and not torch.is_grad_enabled()
        measured.append(network)
        return {"recall": float(len(measured))}

    run(Validation(measure, times=4), StepReport(lambda _, values: seen.append(values)))
    assert len(measured) == 4
    assert [values.get("recall") for values in seen] == [None, 1, 1, 2, 2, 3, 3, 4]


def test_a_resumed_run_validates_only_what_is_left(tmp_path: Path) -> None:
    path, measured = tmp_path / "run.safetensors", list[float]()

    def measure(network: torch.nn.Module) -> dict[str, float]:
        measured.append(0.0)
        return {}

    class Interrupt(Hook):
        def after_step(self, state: LoopState) -> None:
            if state.progress.steps == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Validation(measure), Interrupt(), checkpoint=path)
    assert len(measured) == 2
    run(Validation(measure), checkpoint=path)
    assert len(measured) == 4


def test_validation_without_a_measurement_is_refused() -> None:
    with pytest.raises(BinposeError, match="0 times"):
        Validation(lambda _: {}, times=0)
