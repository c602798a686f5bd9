"""Results come in the order of the items and once each, however workers finish, fail or end."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.workers import MOST_LOSSES, Done, Ended, Event, OrderedResults, ThisProcess, result_or_error


class RandomCrew:
    """Finishes items of random workers in random order, and ends workers in between, some after an item was done."""

    def __init__(self, count: int, rng: np.random.Generator, ends: float = 0.0, job: Callable = abs) -> None:
        self.given: list[dict[int, Any]] = [{} for _ in range(count)]
        self.rng, self.ends, self.job = rng, ends, job
        self.done: list[int] = []
        self.most, self.closed = 0, False
        self._late: list[Event] = []

    def __len__(self) -> int:
        return len(self.given)

    def submit(self, worker: int, key: int, item: Any) -> None:
        assert key not in self.given[worker]
        self.given[worker][key] = item
        self.most = max(self.most, len(self.given[worker]))

    def events(self, timeout_s: float) -> Sequence[Event]:
        late, self._late = self._late, []
        busy = [rank for rank, items in enumerate(self.given) if items]
        worker = int(self.rng.choice(busy)) if busy else 0
        if self.rng.random() < self.ends:
            # Its last result arrives too, after another worker was given the same item.
            for key, item in list(self.given[worker].items())[:1]:
                self._late.append(Done(worker, key, result_or_error(self.job, item)))
            return [*late, Ended(worker, "killed")]
        if not busy:
            return late
        key = int(self.rng.choice(list(self.given[worker])))
        self.done.append(key)
        return [*late, Done(worker, key, result_or_error(self.job, self.given[worker].pop(key)))]

    def replace(self, worker: int) -> None:
        self.given[worker].clear()

    def close(self) -> None:
        self.closed = True


def groups(rng: np.random.Generator, count: int) -> list[list[int]]:
    numbers = list(range(count))
    cuts = sorted(rng.integers(0, count, 12).tolist())
    return [numbers[a:b] for a, b in zip([0, *cuts], [*cuts, count], strict=True) if a < b]


@pytest.mark.parametrize("ends", [0.0, 0.3])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_are_those_of_one_process(count: int, ends: float, rng: np.random.Generator) -> None:
    for _ in range(20):
        work = groups(rng, 60)
        crew = RandomCrew(count, rng, ends)
        try:
            results = list(OrderedResults(crew, work, ahead=4))
        except BinposeError as error:  # by chance too many ends in a row
            assert ends and "ended unexpectedly" in str(error)
            continue
        assert results == list(ThisProcess().map(abs, work)) == list(range(60))
        assert crew.closed and (ends or crew.most <= 4)


def test_endless_items_are_made_no_further_ahead_than_stated(rng: np.random.Generator) -> None:
    endless = ([n] for n in iter(int, 1))
    crew = RandomCrew(3, rng)
    results = OrderedResults(crew, endless, ahead=2)
    for taken in range(30):
        assert len(crew.done) <= taken + 2 * 3
        assert next(results) == 0


def test_a_failure_comes_in_its_turn_and_each_time(rng: np.random.Generator) -> None:
    def job(item: int) -> float:
        return 1 / (item - 5)

    results = OrderedResults(RandomCrew(3, rng, job=job), [[n] for n in range(20)], ahead=4)
    assert [next(results) for _ in range(5)] == [job(n) for n in range(5)]
    for _ in range(2):
        with pytest.raises(BinposeError, match="A worker failed with ZeroDivisionError"):
            next(results)
    assert results._crew.closed


def test_workers_that_end_again_and_again_end_the_work(rng: np.random.Generator) -> None:
    crew = RandomCrew(1, rng, ends=1.0)
    crew.job = None  # type: ignore[assignment]
    crew.events = lambda timeout_s: [Ended(0, "killed")]  # type: ignore[method-assign]
    with pytest.raises(BinposeError, match=rf"ended unexpectedly {MOST_LOSSES + 1} times .*killed.*; try fewer"):
        next(OrderedResults(crew, [[1]], ahead=1))


def test_a_closed_crew_gives_nothing(rng: np.random.Generator) -> None:
    results = OrderedResults(RandomCrew(1, rng), [[1]], ahead=1)
    results.close()
    with pytest.raises(BinposeError, match="are closed"):
        next(results)
