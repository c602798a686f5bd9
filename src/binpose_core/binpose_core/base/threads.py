"""How many threads the numerical libraries take, and how they wait.

OpenMP's threads spin while they wait for work. Beside another busy process that costs a factor of 5 to 10, so every
process that this project starts waits passively, and worker processes get a stated number of threads.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping

from binpose_core.base.errors import BinposeError

_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def available_cpus() -> int:
    """The number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_environment(threads: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process whose libraries take `threads` threads each and wait passively.

    Args:
        threads: at least 1.
        base: environment to start from; this process' by default. A wait policy that it states is kept.

    Raises:
        BinposeError: when `threads` is below 1.
    """
    _check(threads)
    environment = dict(os.environ if base is None else base)
    environment.update(dict.fromkeys(_COUNTS, str(threads)))
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return environment


def limit_threads(threads: int) -> None:
    """Let this process' numerical libraries take at most `threads` threads each.

    Those already imported are told (torch, numba, OpenCV); the others find it in the environment. The wait policy is
    read when OpenMP is loaded: call this before torch is imported, or start the process with `process_environment`.

    Raises:
        BinposeError: when `threads` is below 1.
    """
    environment = process_environment(threads)
    if "numba" in sys.modules:
        # numba reads its variable again later and refuses a value other than the one it was started with.
        environment.pop("NUMBA_NUM_THREADS")
        if "NUMBA_NUM_THREADS" in os.environ:
            environment["NUMBA_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"]
    os.environ.update(environment)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if cv2 := sys.modules.get("cv2"):
        cv2.setNumThreads(threads)


def kernels_may_overlap() -> bool:
    """Whether numba's parallel kernels may run from several threads at once: with TBB or OpenMP, not without both."""
    for pool in ("tbbpool", "omppool"):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"numba.np.ufunc.{pool}")
            return True
    return False


def _check(threads: int) -> None:
    if threads < 1:
        raise BinposeError(f"A process cannot take {threads} threads; expected 1 or more; correct the number.")
