"""Base class, terminal output and parsing of all commands."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.text import Text

from binpose_core.base.errors import BinposeError

Item = TypeVar("Item")

# Without markup: a folder may be called runs/[new].
console = Console(markup=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """Options of every command."""

    debug: bool = False
    """Show the traceback of an error."""

    @abstractmethod
    def run(self) -> int:
        """Run the command and return the exit status."""


def waiting(text: str) -> Status:
    """A spinner with a text, shown while the block runs."""
    return console.status(Text(text))


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress bars with counts and times, removed from the terminal at the end."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress


def tracked(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """The items, with a progress bar that advances with each item."""
    with progress_bar() as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task)


def preparing(progress: Progress, task: TaskID) -> Callable[[int, int, str], None]:
    """Shows on a progress bar which part is being prepared: this takes seconds per part, the first time."""

    def on_part(number: int, total: int, object_id: str) -> None:
        progress.update(task, description=f"Preparing part {number} of {total}, {object_id}")

    return on_part


def split_names(text: str, option: str) -> tuple[str, ...]:
    """Names from a comma-separated list, in order.

    Raises:
        BinposeError: for a name given twice or an empty one.
    """
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    if len(set(names)) < len(names) or "" in names:
        raise BinposeError(f"{option} is {text!r}; expected different names separated by commas, such as bolt,gear.")
    return names
