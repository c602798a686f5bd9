"""Event files hold what the loop reports; without the library the option is refused in one sentence."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning import tensorboard
from binpose_core.learning.hooks import Validation
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.tensorboard import TensorBoard
from binpose_core.learning.training_loop import train


class Writer:
    """Stands for torch's writer, which needs the library."""

    def __init__(self, directory: str, purge_step: int) -> None:
        self.directory, self.purge_step, self.closed = directory, purge_step, False
        self.scalars = dict[str, list[Any]]()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.setdefault(name, []).append((step, value))

    def close(self) -> None:
        self.closed = True


def run(hook: TensorBoard, checkpoint: Path | None = None, steps: int = 4) -> None:
    def loss(network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mean": network(x).square().mean()}

    config, validation = LoopConfig(steps=steps), Validation(lambda _: {"recall": 0.5}, times=2)
    train(torch.nn.Linear(1, 1), lambda _: torch.ones(8, 1), loss, config, checkpoint, [validation, hook])


def test_scalars_stand_over_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers: list[Writer] = []

    def make_writer(directory: str, purge_step: int) -> Writer:
        writers.append(Writer(directory, purge_step))
        return writers[-1]

    monkeypatch.setattr(tensorboard, "import_summary_writer", lambda: make_writer)
    run(TensorBoard(tmp_path))
    (writer,) = writers
    assert writer.directory == str(tmp_path) and writer.purge_step == 1 and writer.closed
    assert [step for step, _ in writer.scalars["loss/mean"]] == [1, 2, 3, 4]
    assert writer.scalars["budget"] == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
    assert writer.scalars["validation/recall"] == [(2, 0.5), (4, 0.5)], "once per measurement"
    assert len(writer.scalars["learning_rate"]) == 4


def test_event_files_can_be_read_back(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(TensorBoard(tmp_path))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/mean")] == [1, 2, 3, 4]


def test_without_the_library_one_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BinposeError, match=r"pip install 'binpose\[tensorboard\]'"):
        TensorBoard(tmp_path)
