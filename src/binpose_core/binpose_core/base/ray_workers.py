"""Workers on the machines of a Ray cluster (Moritz et al., "Ray: a distributed framework for emerging AI applications",
2018); extra `ray`.

The job is put into Ray's object store once, and so is each value that items refer to. A machine fetches it once,
however many of its workers use it. No shared folder is needed. Each machine needs the same binpose and the same Python.
"""

import contextlib
import hashlib
import importlib.util
import itertools
import logging
import signal
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus, limit_threads
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
    Value,
    result_or_error,
)

LOCAL = "local"
"""Address that starts a cluster on this machine alone."""
PYTHON = "Python"
ANSWER_S = 5.0
JOBS = 4
"""Jobs that a worker remembers: a calibration does two in turn."""


def import_ray() -> Any:
    """The module.

    Raises:
        BinposeError: where it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise BinposeError(
            f"Ray cannot be imported ({error}); expected it for --ray; install it with `pip install 'binpose[ray]'`, "
            "or leave out --ray."
        ) from error
    return ray


@contextlib.contextmanager
def ray_workers(address: str, count: int = 0) -> Iterator["RayWorkers"]:
    """Workers on a cluster, for the block.

    Args:
        address: "auto" for the cluster that this machine belongs to, host:port of its head, or `LOCAL`.
        count: number of workers, each with one CPU; 0 = one per CPU of the cluster.

    Raises:
        BinposeError: where Ray is not installed, no cluster answers, or the cluster has fewer CPUs.
    """
    ray = import_ray()
    options = {"num_cpus": count or available_cpus(), "include_dashboard": False} if address == LOCAL else {}
    try:
        _check_answers(address)
        with _own_sigterm():
            ray.init(address, **options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except Exception as error:  # Ray raises bare ones too, such as where a machine is too busy to start in time
        if _is_refused(error):
            raise BinposeError(
                f"The Ray cluster at {address!r} refuses this machine's token; expected that of the cluster; set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here as on the other machines."
            ) from error
        raise BinposeError(
            f"No Ray cluster answers at {address!r} ({error}); expected auto, local, or host:port of a cluster that "
            "this machine has joined with `ray start --address=host:port`; start one, or leave out --ray."
        ) from error
    try:
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if max(count, 1) > cpus:
            raise BinposeError(
                f"{count} workers on a Ray cluster of {cpus} CPUs; expected at most {cpus}; lower --workers, or let "
                "more machines join."
            )
        workers = RayWorkers(ray, count or cpus)
        yield workers
        workers.close()
    finally:
        ray.shutdown()


def _is_refused(error: BaseException | None) -> bool:
    """Whether a cluster answered, but did not accept the token; Ray states it in a cause of its error."""
    while error is not None:
        if "AuthToken" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _check_answers(address: str) -> None:
    """Raise an OSError at once where nothing listens; Ray would try for a minute."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keeps this process' handler of SIGTERM, which Ray replaces."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@dataclass(eq=False)
class RayWorkers:
    """Workers of a cluster, made by `ray_workers`; they start with the first job, and all jobs share them.

    ray: the module, connected to a cluster. count: number of workers.
    """

    ray: Any
    count: int
    _actors: dict[int, Any] = field(default_factory=dict)

    def map(
        self, job: Callable[[Item], Result], groups: Iterable[Sequence[Item]], ahead: int = AHEAD
    ) -> ResultStream[Result]:
        """Do a job with all items, see `Workers`."""
        return OrderedResults(_Actors(self, job), groups, ahead)

    def reference(self, read: Callable[[], Value]) -> Callable[[], Value]:
        """The value in Ray's object store."""
        return Stored(self.ray.put(read()))

    def actor(self, worker: int) -> Any:
        """The actor of a worker, which is started where there is none."""
        if worker not in self._actors:
            options = {"num_cpus": 1, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
            make = self.ray.remote(**options)(RemoteWorker)
            self._actors[worker] = make.remote(machine_facts(own_packages()))
        return self._actors[worker]

    def forget(self, worker: int, actor: Any) -> None:
        """Let another actor be started in the place of one that ended."""
        if self._actors.get(worker) is actor:
            del self._actors[worker]

    def close(self) -> None:
        """End the workers."""
        for actor in self._actors.values():
            self.ray.kill(actor)
        self._actors.clear()


@dataclass(frozen=True)
class Stored:
    """A value in Ray's object store; calling it fetches it to this machine, once."""

    ref: Any

    def __call__(self) -> Any:
        """The value."""
        return import_ray().get(self.ref)


class RemoteWorker:
    """What runs on a machine of the cluster: does items, one after the other.

    Args:
        facts: that this machine must have, see `machine_facts`.
    """

    def __init__(self, facts: dict[str, str]) -> None:
        limit_threads(1)
        own = machine_facts(name for name in facts if name != PYTHON)
        differing = [name for name in facts if own[name] != facts[name]]
        self._problem = ", ".join(f"{name} {own[name]} instead of {facts[name]}" for name in differing)
        self._jobs: OrderedDict[int, Any] = OrderedDict()

    def problem(self) -> str:
        """Why this machine cannot work for the other one; empty where it can."""
        return self._problem

    def do(self, number: int, job: Sequence[Any], item: Any) -> Any:
        """The result of an item, or the error that its job raised.

        Args:
            number: of the job.
            job: its reference, in a list, so that Ray does not fetch it for each item.
            item: of the job.
        """
        if number not in self._jobs:
            self._jobs[number] = import_ray().get(job[0])
            while len(self._jobs) > JOBS:
                self._jobs.popitem(last=False)
        self._jobs.move_to_end(number)
        return result_or_error(self._jobs[number], item)


def own_packages() -> list[str]:
    """The packages of binpose that this process has imported."""
    return sorted(name for name in sys.modules if name.startswith("binpose") and "." not in name)


def machine_facts(packages: Iterable[str]) -> dict[str, str]:
    """What must be the same on all machines, so that results are: the version of Python, and digests of packages."""
    return {PYTHON: ".".join(map(str, sys.version_info[:2])), **{name: _digest(name) for name in packages}}


def _digest(package: str) -> str:
    """The first digits of the sha256 of a package's source; "none" where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "none"
    files = sorted(Path(spec.origin).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


_numbers = itertools.count()


class _Actors:
    """A crew of actors with one job."""

    def __init__(self, workers: RayWorkers, job: Callable[[Any], Any]) -> None:
        self._workers, self._ray = workers, workers.ray
        self._number, self._job = next(_numbers), workers.ray.put(job)
        self._refs: dict[Any, tuple[int, int, Any]] = {}  # worker, key and actor of each item under way
        self._known: set[Any] = set()  # actors on machines that can be used

    def __len__(self) -> int:
        return self._workers.count

    def submit(self, worker: int, key: int, item: Any) -> None:
        actor = self._workers.actor(worker)
        if actor not in self._known:
            self._known.add(actor)
            self._refs[actor.problem.remote()] = worker, -1, actor
        self._refs[actor.do.remote(self._number, [self._job], item)] = worker, key, actor

    def events(self, timeout_s: float) -> Sequence[Event]:
        ready, _ = self._ray.wait(list(self._refs), timeout=timeout_s)
        return [event for ref in ready if (event := self._event(ref)) is not None]

    def _event(self, ref: Any) -> Event | None:
        worker, key, actor = self._refs.pop(ref)
        try:
            result = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._workers.forget(worker, actor)
            # What else it was given fails as well, which is no further loss.
            self._refs = {ref: given for ref, given in self._refs.items() if given[2] is not actor}
            return Ended(worker, str(error).strip().splitlines()[0])
        if key >= 0:
            return Done(worker, key, result)
        if not result:
            return None
        return Failed(
            worker,
            BinposeError(
                f"A machine of the Ray cluster has {result}; expected the same on all machines, so that results are "
                "the same; install the same binpose there."
            ),
        )

    def replace(self, worker: int) -> None:
        """The next item starts another actor."""

    def close(self) -> None:
        for ref in self._refs:
            with contextlib.suppress(Exception):  # of an item that has begun, or of a cluster that has ended
                self._ray.cancel(ref)
        self._refs.clear()
