"""An endless, reproducible sequence of simulated views, computed ahead by worker processes."""

import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus, process_environment
from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.pile import Pile
from binpose_simulation.prepared_parts import OnPart, PreparedPart, as_prepared
from binpose_simulation.scene import SceneConfig, SimulatedView, ViewRenderer, render_view, simulate_pile
from binpose_simulation.view_sets import view_of_set

if TYPE_CHECKING:
    from typing_extensions import Self

LENGTH = struct.Struct("<Q")
PILES, VIEWS, SETS = 0, 1, 2  # independent families of random numbers for one seed


def views(
    parts: Mapping[str, PreparedPart],
    config: SceneConfig,
    seed: int,
    indices: Iterable[int],
    render: ViewRenderer = render_view,
) -> Iterator[SimulatedView]:
    """The views with these indices; each depends on (seed, index) alone.

    Consecutive views show the same settled pile, so ascending indices are fast.
    """
    settled: tuple[int, Pile] | None = None
    for index in indices:
        number = index // config.views_per_pile
        if settled is None or settled[0] != number:
            settled = number, simulate_pile(np.random.default_rng([seed, PILES, number]), parts, config)
        if config.view_set is None:
            yield render(settled[1], np.random.default_rng([seed, VIEWS, index]), config)
        else:
            rng = np.random.default_rng([seed, SETS, number])
            yield view_of_set(settled[1], rng, config, config.view_set, index % config.views_per_pile, render)


class SimulationStream(Iterator[SimulatedView]):
    """Views 0, 1, 2, ... of a seed, endless and in order, independent of the number of workers.

    Use it as a context manager or call `close`; abandoned workers end with this process. To resume, pass
    the `position` reached as `start`.

    Args:
        objects: the parts by id, all equally likely. Their convex pieces are prepared here, once.
        config: of the simulation.
        seed: of the sequence.
        workers: processes with one thread each; 0 simulates in this process; None = one per CPU.
        start: index of the first view.
        prefetch: views that each worker may compute ahead.
        on_part: called before each part whose pieces are prepared.
        render: renders the views; it is pickled for the workers.

    Raises:
        BinposeError: for no objects, a negative seed or start. `next` raises the error that stopped a worker, on every
            call, or that the stream is closed.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart],
        config: SceneConfig | None = None,
        seed: int = 0,
        workers: int | None = None,
        start: int = 0,
        prefetch: int = 4,
        on_part: OnPart | None = None,
        render: ViewRenderer = render_view,
    ) -> None:
        workers = available_cpus() if workers is None else workers
        if seed < 0:
            raise BinposeError(f"A simulation with the seed {seed}; expected 0 or a larger number; choose one.")
        if start < 0 or workers < 0 or prefetch < 1:
            raise BinposeError(
                f"SimulationStream with start={start}, workers={workers}, prefetch={prefetch}; expected "
                "none negative and a prefetch of at least 1."
            )
        self.config = config or SceneConfig()
        self.position = start
        parts = as_prepared(objects, self.config.content, on_part)
        job = {
            "parts": dict(parts), "config": self.config, "seed": seed, "start": start, "workers": workers,
            "render": render,
        }  # fmt: skip
        self._workers = [_Worker({**job, "rank": rank}, prefetch) for rank in range(workers)]
        self._local = views(parts, self.config, seed, _indices(start, self.config.views_per_pile, 0, 1), render)

    def __next__(self) -> SimulatedView:
        if self._workers:
            pile = self.position // self.config.views_per_pile
            view = self._workers[pile % len(self._workers)].next()
        else:
            view = next(self._local)
        self.position += 1
        return view

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        for worker in getattr(self, "_workers", ()):
            worker.close()


def _indices(start: int, views_per_pile: int, rank: int, workers: int) -> Iterator[int]:
    """The indices from `start` on whose pile belongs to the worker `rank` of `workers`, endless."""
    pile = start // views_per_pile
    while True:
        if pile % workers == rank:
            yield from range(max(start, pile * views_per_pile), (pile + 1) * views_per_pile)
        pile += 1


class _Worker:
    """A child process that sends its views over a pipe; a thread moves them to a bounded queue."""

    def __init__(self, job: Mapping[str, Any], prefetch: int) -> None:
        environment = process_environment(1)
        packages = {str(Path(module.__file__).parents[1]) for module in _own_modules()}
        environment["PYTHONPATH"] = ":".join([*sorted(packages), environment.get("PYTHONPATH", "")]).strip(":")
        # a separate session: Ctrl-C reaches this process alone, which then ends its workers
        self._process = subprocess.Popen(
            [sys.executable, "-m", "binpose_simulation.stream"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        self._queue: queue.Queue[Any] = queue.Queue(prefetch)
        self._closed = threading.Event()
        self._end = "This stream of simulated views is closed; expected an open one; create another one."
        self._thread = threading.Thread(target=self._move, args=(job,), daemon=True)
        self._thread.start()

    def next(self) -> SimulatedView:
        while not self._closed.is_set():
            try:
                item = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            if isinstance(item, SimulatedView):
                return item
            self._end = item
            self.close()
        raise BinposeError(self._end)

    def close(self) -> None:
        self._closed.set()
        self._process.kill()
        self._process.wait()

    def _move(self, job: Mapping[str, Any]) -> None:
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None and pipe_out is not None
        try:
            _send(pipe_in, job)
            while not self._closed.is_set():
                self._put(_receive(pipe_out))
        except (EOFError, OSError):
            self._put("A simulation worker ended unexpectedly (killed, or out of memory?); try fewer workers.")
        except Exception as error:  # any error: if this thread ended silently, `next` would wait forever
            self._put(f"The views of a simulation worker cannot be read ({type(error).__name__}: {error}).")
        finally:
            pipe_out.close()

    def _put(self, item: Any) -> None:
        while not self._closed.is_set():
            try:
                return self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue


def _own_modules() -> list[Any]:
    import binpose_core
    import binpose_simulation

    return [binpose_core, binpose_simulation]


def _send(pipe: IO[bytes], item: object) -> None:
    data = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    header = pipe.read(LENGTH.size)
    if len(header) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(header)
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def _work(pipe_in: IO[bytes], pipe_out: IO[bytes]) -> None:
    """Worker process: receive the job, send views until the pipe closes; send an error as text."""
    job = _receive(pipe_in)
    start, rank, workers, config = job["start"], job["rank"], job["workers"], job["config"]
    indices = _indices(start, config.views_per_pile, rank, workers)
    try:
        for view in views(job["parts"], config, job["seed"], indices, job["render"]):
            _send(pipe_out, view)
    except BrokenPipeError:
        pass
    except BinposeError as error:
        _send(pipe_out, str(error))
    except Exception as error:
        _send(pipe_out, f"A simulation worker failed with {type(error).__name__}: {error}; seed {job['seed']}.")
        raise


def _main() -> None:
    import os

    import cv2

    cv2.setNumThreads(0)
    # output printed by libraries must not mix with the views
    pipe_out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        # under its public name, so that the parent can unpickle the classes
        from binpose_simulation import stream

        stream._work(sys.stdin.buffer, pipe_out)
    except (EOFError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    _main()
