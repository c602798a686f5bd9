"""Progress display of a training: bars in a terminal, lines in a log."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from binpose_training.training_run import Report, StageProgress


@contextlib.contextmanager
def training_progress(console: Console) -> Iterator["Report"]:
    """One bar per stage, created at the start of the stage; without a terminal, one line per tenth of a stage."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description:14s}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[message]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        tasks: dict[str, TaskID] = {}

        def report(now: "StageProgress") -> None:
            if now.stage not in tasks:
                for task in tasks.values():
                    progress.update(task, message="")
                tasks[now.stage] = progress.add_task(now.stage, total=1.0, message="")
            message = f"{time_left(now.left_s)}  {now.message}"
            progress.update(tasks[now.stage], completed=now.fraction, message=message)

        yield report


def time_left(seconds: float) -> str:
    """The remaining time of the whole training."""
    minutes = round(seconds / 60.0)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min left"
    return f"{minutes} min left" if seconds >= 60 else f"{round(seconds)} s left"


def _lines(console: Console) -> "Report":
    reported: dict[str, int] = {}

    def report(now: "StageProgress") -> None:
        tenths = int(10 * now.fraction)
        if reported.get(now.stage, -1) < tenths:
            reported[now.stage] = tenths
            console.print(f"{now.stage} {10 * tenths} %  {time_left(now.left_s)}  {now.message}", highlight=False)

    return report
