"""A training shows its stage, how far it is, and the time that is left."""

import io

import pytest
from rich.console import Console

from binpose.training_progress import time_left, training_progress
from binpose_training.training_run import StageProgress


def shown(terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    with training_progress(console) as report:
        for step in range(101):
            report(StageProgress("pose", step / 100, f"step {step}", 600.0 - step))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_long_work_reports_its_progress_in_lines_where_there_is_no_terminal() -> None:
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 11
    assert lines[0] == "pose 0 %  10 min left  step 0" and lines[-1] == "pose 100 %  8 min left  step 100"


def test_a_terminal_shows_the_time_left() -> None:
    assert "8 min left  step 100" in shown(terminal=True)


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s left"), (59.0, "59 s left"), (61.0, "1 min left"), (4000.0, "1 h 07 min left")]
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert time_left(seconds) == text
