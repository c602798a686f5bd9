"""Jobs that are done by workers: results in the order of the items, from one process or many machines.

A job is a function of one item whose result depends on the item alone. Where workers are processes or other machines,
a worker that ends is replaced, and what it had not finished is done again. Each result is taken once, by its item.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from binpose_core.base.errors import BinposeError

Item = TypeVar("Item")
Result = TypeVar("Result")
ResultOut = TypeVar("ResultOut", covariant=True)
Value = TypeVar("Value")

AHEAD = 4
"""Items that each worker may do before their results are taken."""
MOST_LOSSES = 3
"""Workers that may end in one place without a result between them."""
POLL_S = 0.2


class ResultStream(Protocol[ResultOut]):
    """Results in the order of their items, made ahead; `close` ends what makes them."""

    def __iter__(self) -> Iterator[ResultOut]:
        """Itself."""
        ...

    def __next__(self) -> ResultOut:
        """The next result."""
        ...

    def close(self) -> None:
        """Do no further item."""
        ...


class Workers(Protocol):
    """Whoever does jobs: this process, processes beside it, or a cluster of machines."""

    def map(
        self, job: Callable[[Item], Result], groups: Iterable[Sequence[Item]], ahead: int = AHEAD
    ) -> ResultStream[Result]:
        """Do a job with all items.

        Args:
            job: it is copied to each worker once, and may remember there what several items have in common.
            groups: items in order, may be endless; one worker does all items of a group.
            ahead: items that each worker may do before their results are taken.

        Raises:
            BinposeError: from `next`, for the first item whose job failed, and when workers end again and again.
        """
        ...

    def reference(self, read: Callable[[], Value]) -> Callable[[], Value]:
        """Something small that a worker is given in an item instead of a large value, and calls to have the value.

        Args:
            read: reads the value from files of this machine, for example a frame.
        """
        ...


class ThisProcess:
    """Does each item when its result is taken; nothing runs beside it."""

    def map(
        self, job: Callable[[Item], Result], groups: Iterable[Sequence[Item]], ahead: int = AHEAD
    ) -> ResultStream[Result]:
        """Do a job with all items, see `Workers`."""
        return (job(item) for group in groups for item in group)

    def reference(self, read: Callable[[], Value]) -> Callable[[], Value]:
        """The reader itself."""
        return read


@dataclass(frozen=True)
class Done:
    """An item is done: its result, or the `BinposeError` that its job raised."""

    worker: int
    key: int
    result: Any


@dataclass(frozen=True)
class Failed:
    """A worker cannot be used, and another one in its place could not either."""

    worker: int
    error: BinposeError


@dataclass(frozen=True)
class Ended:
    """A worker ended unexpectedly, with the reason where it is known."""

    worker: int
    why: str


Event = Done | Failed | Ended


class Crew(Protocol):
    """Numbered workers that all have one job."""

    def __len__(self) -> int:
        """How many they are."""
        ...

    def submit(self, worker: int, key: int, item: Any) -> None:
        """Let a worker do an item after those that it was given before."""
        ...

    def events(self, timeout_s: float) -> Sequence[Event]:
        """What has happened since the last call; waits for something to happen, but not for longer than this."""
        ...

    def replace(self, worker: int) -> None:
        """Put a new worker in the place of one that ended; it has nothing to do yet."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class OrderedResults(Iterator[Result], Generic[Result]):
    """The results of a crew in the order of the items.

    Args:
        crew: of the job.
        groups: items; each group goes to the worker with the fewest items left.
        ahead: items that each worker may do before their results are taken.
    """

    def __init__(self, crew: Crew, groups: Iterable[Sequence[Any]], ahead: int) -> None:
        self._crew, self._groups, self._ahead = crew, iter(groups), ahead
        self._items: dict[int, Any] = {}  # by key, those without a result
        self._results: dict[int, Any] = {}  # by key, those that are not taken
        self._keys: list[deque[int]] = [deque() for _ in range(len(crew))]  # of each worker, those that are not taken
        self._given: list[set[int]] = [set() for _ in range(len(crew))]  # of these, those that the worker was given
        self._losses = [0] * len(crew)
        self._count = self._taken = 0
        self._end: BinposeError | None = None
        self._assign()

    def __next__(self) -> Result:
        while self._end is None and self._taken not in self._results:
            if self._taken == self._count:
                self.close()
                raise StopIteration
            for event in self._crew.events(POLL_S):
                self._take(event)
        if self._end is not None:
            raise self._end
        worker = next(rank for rank, keys in enumerate(self._keys) if keys and keys[0] == self._taken)
        self._keys[worker].popleft()
        self._given[worker].discard(self._taken)
        result: Result = self._results.pop(self._taken)
        self._taken += 1
        if isinstance(result, BinposeError):
            self._fail(result)
            raise result
        self._assign()
        return result

    def close(self) -> None:
        """End the crew."""
        self._end = self._end or BinposeError("The workers are closed; expected open ones; begin again.")
        self._crew.close()

    def _assign(self) -> None:
        """Give items to the workers that may do more."""
        while True:
            worker = min(range(len(self._keys)), key=lambda rank: len(self._keys[rank]))
            group = next(self._groups, None) if len(self._keys[worker]) < self._ahead else None
            if group is None:
                break
            for item in group:
                self._items[self._count] = item
                self._keys[worker].append(self._count)
                self._count += 1
        for worker in range(len(self._keys)):
            self._submit(worker)

    def _submit(self, worker: int) -> None:
        for key in islice(self._keys[worker], self._ahead):
            if key in self._items and key not in self._given[worker]:
                self._given[worker].add(key)
                self._crew.submit(worker, key, self._items[key])

    def _take(self, event: Event) -> None:
        if isinstance(event, Done):
            self._losses[event.worker] = 0
            if self._items.pop(event.key, None) is not None:  # a worker that was replaced may have done it as well
                self._results[event.key] = event.result
        elif isinstance(event, Failed):
            self._fail(event.error)
        else:
            self._replace(event)

    def _replace(self, event: Ended) -> None:
        worker = event.worker
        self._losses[worker] += 1
        if self._losses[worker] > MOST_LOSSES:
            self._fail(
                BinposeError(
                    f"A worker ended unexpectedly {MOST_LOSSES + 1} times without a result ({event.why}); expected "
                    "results; try fewer workers, or free some memory."
                )
            )
            return
        self._crew.replace(worker)
        self._given[worker].clear()
        self._submit(worker)

    def _fail(self, error: BinposeError) -> None:
        self._end = self._end or error
        self._crew.close()


def result_or_error(job: Callable[[Any], Any], item: Any) -> Any:
    """The result of an item, or the error that its job raised, in one sentence."""
    try:
        return job(item)
    except BinposeError as error:
        return error
    except Exception as error:
        return BinposeError(f"A worker failed with {type(error).__name__}: {error}.")
