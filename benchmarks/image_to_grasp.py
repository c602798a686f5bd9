"""Time from an image to the best grasp, on one and on two threads.

python benchmarks/image_to_grasp.py [--model demo] [--frames 20] [--repeats 3] [--threads 1 2] [--arm none]

Each frame shows another bin of ten parts of all types, as `binpose pick` fills it. The time is that of the pipeline
(detection, poses, refinement) and of the grasp planner; the time to take the image is left out. The thread counts take
turns, so that other work on the machine affects them alike. The load of the machine is stated.
"""

import os
from dataclasses import dataclass

import numpy as np
import tyro

from binpose_cell.cell_camera import CellCamera
from binpose_cell.clearing import BinClearing
from binpose_cell.config import PickingConfig
from binpose_cell.filled_bin import fill_bin
from binpose_core.base.threads import limit_threads
from binpose_grasping.arm import ArmConfig
from binpose_pipeline.bundle import load_bundle
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.prepared_parts import prepare_parts
from common import heading, spread, table

SEED = 619_000
"""Of the first bin; used for nothing else."""
STAGES = ("poses", "grasps")


@dataclass(frozen=True)
class Arguments:
    """model: that finds the parts. frames: number of bins. parts: in each. repeats: measurements of each frame and
    number of threads, after a warm-up. threads: their numbers. arm: that must reach the grasps: none, fer or fr3.
    """

    model: str = "demo"
    frames: int = 20
    parts: int = 10
    repeats: int = 3
    threads: tuple[int, ...] = (1, 2)
    arm: str = "none"


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    limit_threads(max(arguments.threads))
    heading("From an image to the best grasp")
    bundle, config = load_bundle(arguments.model), PickingConfig(arm=ArmConfig(name=arguments.arm))
    prepared, names = prepare_parts(bundle.objects, ContentConfig()), list(bundle.objects)
    load = [os.getloadavg()[0]]
    times: dict[int, list[tuple[float, float]]] = {count: [] for count in arguments.threads}
    with_grasp = 0
    for seed in range(SEED, SEED + arguments.frames):
        chosen = [names[number % len(names)] for number in range(arguments.parts)]
        filled = fill_bin(np.random.default_rng(seed), prepared, chosen)
        camera = CellCamera(filled, seed)
        clearing = BinClearing(filled, bundle.objects, camera, lambda view: bundle.pipeline(view.frame), config)
        with_grasp += bool(clearing.planned().grasps)
        for _ in range(arguments.repeats):
            for count in arguments.threads:
                limit_threads(count)
                times[count].append(timed(clearing))
    load.append(os.getloadavg()[0])
    report(times)
    print(f"{with_grasp} of {arguments.frames} frames have a grasp; {arguments.parts} parts in a bin; ", end="")
    print(f"arm {arguments.arm}; load of the machine {load[0]:.1f} before, {load[1]:.1f} after, ", end="")
    print(f"{os.cpu_count()} CPUs; model {bundle.version[:12]}")


def timed(clearing: BinClearing) -> tuple[float, float]:
    """Seconds for the poses and for the grasps of a new image of the same bin."""
    before = clearing.seconds
    clearing.planned()
    poses_s, grasps_s = (clearing.seconds[stage] - before[stage] for stage in STAGES)
    return poses_s, grasps_s


def report(times: dict[int, list[tuple[float, float]]]) -> None:
    """A row for each number of threads."""
    rows = []
    for count, measured in times.items():
        values = np.array(measured)
        columns = (values[:, 0], values[:, 1], values.sum(axis=1))
        rows.append([str(count), *(spread(column, 1e-3, 0) for column in columns), str(len(values))])
    table(["threads", "ms to the poses", "ms from there to the grasp", "ms in all", "measurements"], rows)
    print("Median (10th-90th percentile).", end=" ")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
