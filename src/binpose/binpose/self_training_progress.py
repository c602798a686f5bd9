"""What `binpose self-train` shows in a terminal: bars, or lines in a log; then rounds and decision."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from binpose.commands.command import compiling, console, waiting
from binpose.report import percent_text
from binpose_core.base.errors import BinposeError
from binpose_core.learning.hooks import Hook

if TYPE_CHECKING:
    from binpose_self_training.records import RoundRecord
    from binpose_self_training.rounds import Report
    from binpose_self_training.self_training import SelfTrainingResult


class Output(Protocol):
    """Where the progress and the result of a self-training go: a terminal, or a program (`JsonLines`)."""

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Shows what the block does."""
        ...

    def compiling(self) -> AbstractContextManager[object]:
        """Shows the kernels that are compiled in the block."""
        ...

    def progress(self) -> "AbstractContextManager[Report]":
        """Gives what takes the progress in the block."""
        ...

    def hooks(self, number: int, stage: str) -> Sequence[Hook]:
        """Hooks of a round's training loop."""
        ...

    def record(self, record: "RoundRecord") -> None:
        """Take the record of a round, first without and then with its student."""
        ...

    def note(self, text: str) -> None:
        """Take a sentence about something that was left out."""
        ...

    def result(self, result: "SelfTrainingResult", promoted: bool, message: str) -> None:
        """Take the decision."""
        ...

    def interrupted(self, message: str) -> None:
        """Take how an interrupted run is resumed."""
        ...

    def failed(self, error: BinposeError) -> None:
        """Take why there is no result; the error is raised afterwards."""
        ...


@dataclass(frozen=True)
class TerminalOutput:
    """Shows it in the terminal.

    model: folder of the model store.
    """

    model: Path

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """A spinner."""
        return waiting(f"{text} ...")

    def compiling(self) -> AbstractContextManager[object]:
        """A spinner with the names of the kernels."""
        return compiling()

    def progress(self) -> "AbstractContextManager[Report]":
        """Bars or lines."""
        return self_training_progress(console)

    def hooks(self, number: int, stage: str) -> Sequence[Hook]:
        """None: the progress holds the losses."""
        return ()

    def record(self, record: "RoundRecord") -> None:
        """Show nothing: the table comes at the end."""

    def note(self, text: str) -> None:
        """Print it."""
        console.print(text, style="yellow")

    def result(self, result: "SelfTrainingResult", promoted: bool, message: str) -> None:
        """Print the rounds, the reasons and the decision."""
        console.print(rounds_table(result.records))
        verdict = result.verdict
        if verdict is not None:
            console.print(f"Gate: {verdict.decision.value}", style="bold green" if verdict.promoted else "bold yellow")
            for text in (*verdict.reasons, *verdict.notes):
                console.print(text)
        console.print(message)
        console.print("Next:", Text(f"binpose models {self.model}", "bold"))

    def interrupted(self, message: str) -> None:
        """Print it."""
        console.print(message)

    def failed(self, error: BinposeError) -> None:
        """Print nothing: the command line prints the error."""


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


def rounds_table(records: "Sequence[RoundRecord]") -> Table:
    """A row per round: what its teacher reported, how much was accepted, and where known how right it is."""
    table = Table()
    for name in ("round", "teacher", "poses", "labels", "unexplained", "label precision", "recall", "precision"):
        table.add_column(name, justify="left" if name == "teacher" else "right")
    for record in records:
        labels, test = record.measured.get("labels", {}), record.measured.get("test", {}).get("all", {})
        table.add_row(
            str(record.number), record.teacher[:12], str(record.poses), str(record.labels),
            percent_text(record.unexplained), percent_text(labels.get("precision")), percent_text(test.get("recall")),
            percent_text(test.get("precision")),
        )  # fmt: skip
    return table
