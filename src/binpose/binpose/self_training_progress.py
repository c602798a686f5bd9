"""Progress display of a self-training: bars in a terminal, lines in a log."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from binpose_self_training.rounds import Report


@contextlib.contextmanager
def self_training_progress(console: Console) -> Iterator["Report"]:
    """One bar per stage, created at its start; without a terminal, one line per fifth of a stage."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description:24s}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[message]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, fraction: float, message: str) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0, message="")
            progress.update(tasks[stage], completed=fraction, message=message)

        yield report


def _lines(console: Console) -> "Report":
    reported: dict[str, int] = {}

    def report(stage: str, fraction: float, message: str) -> None:
        fifths = int(5 * fraction)
        if reported.get(stage, -1) < fifths:
            reported[stage] = fifths
            console.print(f"{stage} {20 * fifths} %  {message}", highlight=False)

    return report
