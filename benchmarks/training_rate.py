"""How fast a training makes and uses its data: views per processor second by stage, samples per second of the networks.

    python benchmarks/training_rate.py [--parts 3] [--rounds 6] [--baseline ../other-checkout]

One process with one thread per checkout; their rounds alternate. Kernels are compiled before the clock starts. Times
are processor time, so that a busy machine changes them little. Another table compares the data of both.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from common import ROOT, heading, table

WORKER = Path(__file__).with_name("training_rate_worker.py")


@dataclass(frozen=True)
class Arguments:
    """parts: of the library's ten. rounds: of each checkout; views: per round. baseline: checkout to compare with.

    networks: whether to measure batches and steps of the networks too.
    """

    parts: int = 10
    rounds: int = 6
    views: int = 24
    seed: int = 0
    baseline: Path | None = None
    networks: bool = True


class Worker:
    """A process that simulates with the sources of a checkout, one round per request."""

    def __init__(self, checkout: Path, arguments: Arguments) -> None:
        sources = [str(path) for path in sorted((checkout / "src").iterdir())]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        environment = {**os.environ, **threads, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": ":".join(sources)}
        command = [sys.executable, str(WORKER), str(arguments.parts), str(arguments.seed)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.rounds: list[dict[str, Any]] = []
        self._answer()

    def run(self, views: int) -> None:
        """Simulate so many views more."""
        self.rounds.append(self._ask(f"views {views}"))

    def networks(self) -> dict[str, float]:
        """Seconds per batch and per step of the networks."""
        return self._ask("networks")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, request: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The measuring process ended; its error stands above.")
        return json.loads(line)


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    heading(f"Data of a training with {arguments.parts} parts")
    checkouts = {"this": ROOT} | ({"baseline": arguments.baseline.resolve()} if arguments.baseline else {})
    workers = {name: Worker(path, arguments) for name, path in checkouts.items()}
    for _ in range(arguments.rounds):
        for worker in workers.values():
            worker.run(arguments.views)
    _print_stages(workers)
    _print_data(workers)
    if arguments.networks:
        _print_networks({name: worker.networks() for name, worker in workers.items()})
    for worker in workers.values():
        worker.close()


def _print_stages(workers: dict[str, Worker]) -> None:
    """Milliseconds per view by stage, and views per processor second."""
    print("Processor milliseconds per view:\n")
    stages = list(dict.fromkeys(name for w in workers.values() for r in w.rounds for name in r["stages"]))
    rows = [[name, *(f"{_per_view(w, name):.1f}" for w in workers.values())] for name in stages]
    table(["stage", *workers], rows)
    rates = {name: np.array([r["views"] / r["seconds"] for r in w.rounds]) for name, w in workers.items()}
    whole = {name: _total(w, "views") / _total(w, "seconds") for name, w in workers.items()}
    piles = {name: _total(w, "piles") / _total(w, "seconds") for name, w in workers.items()}
    rows = [[n, f"{whole[n]:.2f}", f"{np.median(rates[n]):.2f}", f"{piles[n]:.2f}"] for n in workers]
    table(["checkout", "views / processor s", "median of the rounds", "piles / processor s"], rows)
    if "baseline" in workers:
        each = np.median(rates["this"] / rates["baseline"])
        print(f"Ratio of all views: {whole['this'] / whole['baseline']:.2f}; median of the rounds: {each:.2f}\n")


def _print_data(workers: dict[str, Worker]) -> None:
    """Statistics of the simulated data: mean over views and its standard error."""
    names = list(dict.fromkeys(name for w in workers.values() for r in w.rounds for name in r["data"]))
    rows = []
    for name in sorted(names):
        values = [np.concatenate([r["data"].get(name, []) for r in w.rounds]) for w in workers.values()]
        rows.append([name, *(f"{v.mean():.3f} ± {v.std() / np.sqrt(len(v)):.3f}" if len(v) else "-" for v in values)])
    table(["data", *workers], rows)


def _print_networks(measured: dict[str, dict[str, float]]) -> None:
    names = list(next(iter(measured.values())))
    table(["networks", *measured], [[name, *(f"{m[name]:.1f}" for m in measured.values())] for name in names])


def _total(worker: Worker, name: str) -> float:
    return float(sum(r[name] for r in worker.rounds))


def _per_view(worker: Worker, stage: str) -> float:
    return 1e3 * sum(r["stages"].get(stage, 0.0) for r in worker.rounds) / _total(worker, "views")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
