"""Header and table formatting of all benchmarks."""

import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.threads import available_cpus

ROOT = Path(__file__).resolve().parents[1]


def heading(title: str) -> None:
    """Title, machine, commit and versions."""
    import torch

    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"# {title}\n")
    print(f"{processor()}, {available_cpus()} CPUs, {platform.system()}, Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}, commit {commit or 'unknown'}\n")


def processor() -> str:
    """The processor's name, if the system provides it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def seconds(function: Callable[[], Any], repeats: int, warm_up: int = 2) -> np.ndarray:
    """Wall-clock times (repeats,) of a call, after `warm_up` calls that are not measured."""
    for _ in range(warm_up):
        function()
    times = np.empty(repeats)
    for i in range(repeats):
        began = time.perf_counter()
        function()
        times[i] = time.perf_counter() - began
    return times


def spread(values: np.ndarray, unit: float = 1.0, digits: int = 1) -> str:
    """Median and the 10th to the 90th percentile, in multiples of `unit`."""
    low, middle, high = np.percentile(values, [10, 50, 90]) / unit
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()
