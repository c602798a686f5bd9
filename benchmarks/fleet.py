"""What workers on a Ray cluster cost beside one process: processor seconds per simulated view and per labelled frame.

    python benchmarks/fleet.py [--rounds 3] [--few 1] [--many 4]

Needs the extras `ray` and `benchmarks`. Processor time of all processes counts, those of Ray too. Each round does few
and many groups of items (a pile of views, a frame) per worker; the difference leaves out starts and imports. One
process and the cluster alternate. The cluster has two workers on this machine.
"""

import contextlib
import pickle
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import tyro

from binpose_core.base.process_workers import ProcessWorkers
from binpose_core.base.ray_workers import ray_workers
from binpose_core.base.workers import Workers
from binpose_pipeline.bundle import load_bundle
from binpose_self_training.recorded_frames import StoredFrame
from binpose_self_training.selection.selector import SelectionConfig
from binpose_self_training.teacher import Teacher
from binpose_simulation.prepared_parts import prepare_parts
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import ViewJob, views
from binpose_simulation.view_store import ViewStore
from common import heading, table

Groups = Callable[[Workers, int], Sequence[Sequence[Any]]]


@dataclass(frozen=True)
class Arguments:
    """rounds: of each kind. few, many: groups per worker. frames: whether frames are labelled. seed: of the bins."""

    rounds: int = 3
    few: int = 1
    many: int = 4
    frames: bool = True
    seed: int = 0


def processor_s() -> float:
    """Of this process and of all that it has started."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = psutil.Process()
    living = [own, *own.children(recursive=True)]
    total = ended.ru_utime + ended.ru_stime
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def seconds(workers: Workers, job: Callable[[Any], Any], groups: Sequence[Sequence[Any]]) -> float:
    """Processor seconds until all results are here."""
    before = processor_s()
    for _ in workers.map(job, groups):
        pass
    return processor_s() - before


def per_item(workers: Workers, count: int, job: Callable[[Any], Any], groups: Groups, arguments: Arguments) -> float:
    """Processor seconds that one more item takes."""
    few, many = (groups(workers, size * count) for size in (arguments.few, arguments.many))
    spent = [seconds(workers, job, work) for work in (few, many)]
    return (spent[1] - spent[0]) / (sum(map(len, many)) - sum(map(len, few)))


def spread(values: Sequence[float]) -> str:
    """Median, least and largest."""
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main(arguments: Arguments, directory: Path) -> None:
    """Print the tables."""
    bundle, scene = load_bundle("demo"), SceneConfig()
    parts = prepare_parts(bundle.objects, scene.content)
    store = ViewStore(directory)
    for view in views(parts, scene, arguments.seed + 1, range(arguments.many * 2 if arguments.frames else 1)):
        store.append(view)
        one = view
    jobs: dict[str, tuple[Callable[[Any], Any], Groups]] = {
        "simulated view": (
            ViewJob(parts, scene, arguments.seed),
            lambda workers, count: [range(4 * n, 4 * n + 4) for n in range(count)],
        )
    }
    if arguments.frames:
        jobs["labelled frame"] = (
            Teacher(bundle, SelectionConfig()).job,
            lambda workers, count: [
                [[(workers.reference(StoredFrame(store, n, "").read), None)]] for n in range(count)
            ],
        )
    rows = []
    with ray_workers("local", 2) as cluster:
        for name, (job, groups) in jobs.items():
            alone, shared = [], []
            for _ in range(arguments.rounds):
                alone.append(per_item(ProcessWorkers(1), 1, job, groups, arguments))
                shared.append(per_item(cluster, 2, job, groups, arguments))
            ratios = [a / b for a, b in zip(alone, shared, strict=True)]
            rows.append([name, spread(alone), spread(shared), spread(ratios)])
        reference = len(pickle.dumps(cluster.reference(lambda: one.frame)))
    heading(f"Workers: processor seconds, median (least to largest) of {arguments.rounds} rounds")
    table(["item", "one process", "Ray, two workers", "ratio, items per processor second"], rows)
    sizes = [("frame to label", one.frame), ("its reference in a task", None), ("simulated view", one)]
    table(
        ["what travels", "bytes"],
        [[name, str(reference if value is None else len(pickle.dumps(value)))] for name, value in sizes],
    )
    camera = one.frame.camera
    print(f"Frames of {camera.width} x {camera.height}.")


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        main(tyro.cli(Arguments), Path(directory))
