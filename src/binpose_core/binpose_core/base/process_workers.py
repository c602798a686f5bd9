"""Workers that are processes of this machine, with one thread each."""

import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus, process_environment
from binpose_core.base.workers import (
    AHEAD,
    Done,
    Ended,
    Event,
    Failed,
    Item,
    OrderedResults,
    Result,
    ResultStream,
    ThisProcess,
    Value,
    Workers,
    result_or_error,
)

LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class ProcessWorkers:
    """Processes that are started for each job and end with it, or with this process.

    count: number of processes.
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BinposeError(f"{self.count} worker processes; expected at least 1; choose a number.")

    def map(
        self, job: Callable[[Item], Result], groups: Iterable[Sequence[Item]], ahead: int = AHEAD
    ) -> ResultStream[Result]:
        """Do a job with all items, see `Workers`."""
        return OrderedResults(_Processes(job, self.count), groups, ahead)

    def reference(self, read: Callable[[], Value]) -> Callable[[], Value]:
        """The reader itself: the processes have the same files."""
        return read


def as_workers(workers: Workers | int | None) -> Workers:
    """Workers as they are, or so many processes: 0 = this process, None = one per CPU."""
    if workers is None:
        return ProcessWorkers(available_cpus())
    if isinstance(workers, int):
        return ProcessWorkers(workers) if workers else ThisProcess()
    return workers


class _Processes:
    """A crew of child processes."""

    def __init__(self, job: Callable[[Any], Any], count: int) -> None:
        self._job = pickle.dumps(job, protocol=pickle.HIGHEST_PROTOCOL)
        self._events: queue.Queue[tuple[_Process, Event]] = queue.Queue()
        self._processes = [_Process(self._job, rank, self._events) for rank in range(count)]

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        return [process.pid for process in self._processes]

    def submit(self, worker: int, key: int, item: Any) -> None:
        self._processes[worker].send((key, item))

    def events(self, timeout_s: float) -> Sequence[Event]:
        try:
            process, event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return []
        return [event] if process is self._processes[event.worker] else []

    def replace(self, worker: int) -> None:
        self._processes[worker].close()
        self._processes[worker] = _Process(self._job, worker, self._events)

    def close(self) -> None:
        for process in getattr(self, "_processes", ()):
            process.close()

    __del__ = close


class _Process:
    """A child process: one thread sends it the job and the items, another takes its results."""

    def __init__(self, job: bytes, rank: int, events: "queue.Queue[tuple[_Process, Event]]") -> None:
        environment = process_environment(1)
        environment["PYTHONPATH"] = ":".join([*_own_folders(), environment.get("PYTHONPATH", "")]).strip(":")
        # a separate session: Ctrl-C reaches this process alone, which then ends its workers
        self._process = subprocess.Popen(
            [sys.executable, "-m", "binpose_core.base.process_workers"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self._rank, self._events = rank, events
        self._outgoing: queue.Queue[bytes | None] = queue.Queue()
        self._outgoing.put(job)
        for work in (self._send_all, self._take_all):
            threading.Thread(target=work, daemon=True).start()

    def send(self, value: Any) -> None:
        self._outgoing.put(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))

    def close(self) -> None:
        self._outgoing.put(None)
        self._process.kill()
        self._process.wait()

    def _send_all(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while (data := self._outgoing.get()) is not None:
                _send(pipe, data)
        except OSError:
            pass  # it has ended, which the other thread reports

    def _take_all(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while True:
                self._events.put((self, self._event(_receive(pipe))))
        except (EOFError, OSError):
            self._events.put((self, Ended(self._rank, "killed, or out of memory?")))
        finally:
            pipe.close()

    def _event(self, data: bytes) -> Event:
        try:
            key, result = pickle.loads(data)
        except Exception as error:  # any error: if the thread ended silently, the result would be waited for forever
            what = f"The result of a worker cannot be read ({type(error).__name__}: {error})."
            return Failed(self._rank, BinposeError(what))
        return Done(self._rank, key, result)


def _own_folders() -> list[str]:
    """Where the packages of binpose lie that this process has imported."""
    names = {name for name in sys.modules if name.startswith("binpose") and "." not in name}
    return sorted({str(Path(file).parents[1]) for name in names if (file := sys.modules[name].__file__)})


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    header = pipe.read(LENGTH.size)
    if len(header) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(header)
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _work(pipe_in: IO[bytes], pipe_out: IO[bytes]) -> None:
    """Worker process: receive the job, then do items until the pipe closes."""
    job = pickle.loads(_receive(pipe_in))
    while True:
        key, item = pickle.loads(_receive(pipe_in))
        _send(pipe_out, pickle.dumps((key, result_or_error(job, item)), protocol=pickle.HIGHEST_PROTOCOL))


def _main() -> None:
    import cv2

    cv2.setNumThreads(0)
    # output printed by libraries must not mix with the results
    pipe_out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _work(sys.stdin.buffer, pipe_out)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    _main()
