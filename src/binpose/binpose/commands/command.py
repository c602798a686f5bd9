"""Base class, terminal output and parsing of all commands."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, TypeVar, get_type_hints

import tyro
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
from binpose_core.base.settings import descriptions, summary

Item = TypeVar("Item")

COMPILING = "Compiling kernels, once per machine and user"

# Without markup: a folder may be called runs/[new].
console = Console(markup=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


Options = TypeVar("Options", bound=type)


def described(options: Options) -> Options:
    """A dataclass of options that have the help texts that its docstring gives them, in lines of "name: text".

    Its own help then shows what is left of the docstring. Options without such a line keep the help that they have.
    """
    hints = get_type_hints(options, include_extras=True)
    for name, text in descriptions(options).items():
        options.__annotations__[name] = Annotated[hints[name], tyro.conf.arg(help=text)]
    options.__doc__ = summary(options)
    return options


@described
@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """Options of every command.

    debug: Show the traceback of an error.
    """

    debug: bool = False

    @abstractmethod
    def run(self) -> int:
        """Run the command and return the exit status."""


def waiting(text: str) -> Status:
    """A spinner with a text, shown while the block runs."""
    return console.status(Text(text))


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Shows the kernels that are compiled in the block: the first time for a machine and user that takes a minute.

    Where the cache has them all, nothing is shown.
    """
    from binpose_core.base.kernel_compilation import on_compilation

    with contextlib.ExitStack() as stack:
        shown: list[Status] = []

        def report(number: int, name: str) -> None:
            if not shown:
                if not console.is_terminal:
                    console.print(COMPILING)
                shown.append(stack.enter_context(waiting(COMPILING)))
            shown[0].update(Text(f"{COMPILING}: {number}, {name}"))

        with on_compilation(report):
            yield


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
