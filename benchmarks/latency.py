"""Time and memory of one 640x480 frame with ten parts, detection to verified poses.

python benchmarks/latency.py [--model demo] [--frames 20] [--repeats 3]
"""

import resource
from dataclasses import dataclass

import numpy as np
import tyro

from binpose_core.base.threads import available_cpus, limit_threads
from binpose_pipeline.bundle import load_bundle
from common import heading, spread, table
from scenes import unseen_views


@dataclass(frozen=True)
class Arguments:
    """frames: different ones; repeats: measurements of each, after one that does not count."""

    model: str = "demo"
    frames: int = 20
    repeats: int = 3


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    limit_threads(available_cpus())
    heading("One 640x480 frame with ten parts: detection to verified poses")
    bundle = load_bundle(arguments.model)
    pipeline = bundle.pipeline
    times: dict[str, list[float]] = {}
    found = []
    for view in unseen_views(bundle.objects, arguments.frames, (10, 10)):
        for repeat in range(arguments.repeats + 1):
            result = pipeline.timed(view.frame)
            if repeat:
                for name, value in (*result.seconds.items(), ("all", sum(result.seconds.values()))):
                    times.setdefault(name, []).append(value)
        found.append(len([pose for pose in result.poses if pose.score > 0.5]))
    table(["stage", "ms, median (10th-90th percentile)"], [[n, spread(np.array(t), 1e-3)] for n, t in times.items()])
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"poses found per frame {np.mean(found):.1f}; largest resident memory {peak_gb:.2f} GB; ", end="")
    print(f"{len(times['all'])} measurements; model {bundle.version[:12]}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
