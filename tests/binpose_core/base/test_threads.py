"""Processes take the threads that they are told to, and wait without spinning."""

import os
import subprocess
import sys

import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus, process_environment

REPORT = "import torch, numba, cv2; print(torch.get_num_threads(), numba.get_num_threads(), cv2.getNumThreads())"


def run(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def plain_environment() -> dict[str, str]:
    """This process' environment without settings of threads, and with its import path."""
    kept = {name: value for name, value in os.environ.items() if "THREADS" not in name and "OMP" not in name}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_a_child_process_takes_its_number_of_threads() -> None:
    torch_threads, numba_threads, _ = run(REPORT, process_environment(1, plain_environment())).split()
    assert (torch_threads, numba_threads) == ("1", "1")


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_running_process_can_be_limited_before_and_after_its_imports(order: str) -> None:
    limit = "from binpose_core.base.threads import limit_threads; limit_threads(1)"
    imports = "import torch, numba, cv2"
    # Compiled afterwards: numba checks its environment variable again when it compiles.
    compiled = "numba.njit(parallel=True)(lambda x: x + 1)(1)"
    lines = [limit, imports, "limit_threads(1)"] if order == "before" else [imports, limit]
    assert run("\n".join([*lines, compiled, REPORT]), plain_environment()) == "1 1 1"


def test_a_child_process_waits_passively_unless_told_otherwise() -> None:
    assert process_environment(2, {})["OMP_WAIT_POLICY"] == "PASSIVE"
    assert process_environment(2, {"OMP_WAIT_POLICY": "ACTIVE"})["OMP_WAIT_POLICY"] == "ACTIVE"


def test_the_callers_environment_is_not_changed() -> None:
    base = {"PATH": "/bin"}
    assert process_environment(3, base)["PATH"] == "/bin"
    assert base == {"PATH": "/bin"}


def test_at_least_one_thread() -> None:
    with pytest.raises(BinposeError, match="0 threads; expected 1 or more"):
        process_environment(0)
    assert available_cpus() >= 1
