"""Jobs in processes: their order, their deaths, and what their errors become."""

import operator
import os
import signal
from functools import partial

import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.process_workers import ProcessWorkers, as_workers
from binpose_core.base.workers import MOST_LOSSES, ThisProcess


def test_processes_do_what_this_process_does_although_one_is_killed() -> None:
    job, groups = partial(pow, 3), [range(n, n + 3) for n in range(0, 60, 3)]
    results = ProcessWorkers(2).map(job, groups)
    first = [next(results) for _ in range(20)]
    os.kill(results._crew.pids[0], signal.SIGKILL)  # type: ignore[attr-defined]
    assert [*first, *results] == list(ThisProcess().map(job, groups))


def test_an_error_in_a_process_is_one_sentence() -> None:
    results = ProcessWorkers(1).map(partial(operator.truediv, 1.0), [[2], [0]])
    assert next(results) == 0.5
    with pytest.raises(BinposeError, match="A worker failed with ZeroDivisionError: float division by zero"):
        next(results)


def test_an_item_that_kills_its_worker_ends_the_work() -> None:
    results = ProcessWorkers(1).map(os._exit, [[1]])
    with pytest.raises(BinposeError, match=rf"ended unexpectedly {MOST_LOSSES + 1} times"):
        next(results)


def test_a_number_stands_for_processes() -> None:
    assert as_workers(3) == ProcessWorkers(3) and isinstance(as_workers(0), ThisProcess)
    own = ThisProcess()
    assert as_workers(own) is own
    with pytest.raises(BinposeError, match="-1 worker processes"):
        as_workers(-1)
