"""Success of simulated picks per try: with true poses (the ceiling of the grasps) and with the poses of a model.

python benchmarks/picking.py [--reduced] [--model demo] [--parts bow_handle gearmotor] [--bins 10] [--number 14]

Each bin holds parts of one type. It is emptied as by `binpose pick`: images, poses, grasps, physics. The table also
lists approaches that overlap bin or parts by more than 1 mm, cleared bins, and successful picks per hour at the stated
speeds.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tyro

from binpose_cell.cell_camera import SENSOR
from binpose_cell.clearing import BinClearing, Clearing, PoseSource, true_poses
from binpose_cell.config import PickingConfig
from binpose_cell.figures import PickFigures, end_of
from binpose_cell.filled_bin import fill_bin
from binpose_cell.gripped_parts import gripped_parts
from binpose_core.base.threads import limit_threads
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.arm import ArmConfig
from binpose_pipeline.bundle import load_bundle
from binpose_simulation.prepared_parts import PreparedPart
from common import heading, table

SEED = 616_000
"""Of the first bin; used for nothing else."""


@dataclass(frozen=True)
class Arguments:
    """What is measured.

    model: that finds the parts. parts: types; by default all of the model. bins: per type. number: of parts in a bin.
    vision_s: assumed time from image to grasp, for the picks per hour: this machine may be busy.
    sensor: kind of the depth sensor. poses: "true", "model" or "both".
    arm: that carries the hand: none, fer or fr3.
    reduced: one bin of eight parts per type, in less than 10 minutes on one core.
    """

    model: str = "demo"
    parts: tuple[str, ...] = ()
    bins: int = 10
    number: int = 14
    vision_s: float = 0.3
    sensor: str = SENSOR
    poses: str = "both"
    arm: str = "none"
    reduced: bool = False


def main(arguments: Arguments) -> None:
    """Empty the bins and print the tables."""
    limit_threads(1)
    heading("Simulated picks")
    bundle, config = load_bundle(arguments.model), PickingConfig(arm=ArmConfig(name=arguments.arm))
    bins, number = (1, 8) if arguments.reduced else (arguments.bins, arguments.number)
    names = arguments.parts or tuple(bundle.objects)
    parts = gripped_parts({name: bundle.objects[name] for name in names})
    motion = config.motion
    speeds = f"approach {motion.approach_m_s} m/s, lift {motion.lift_m_s} m/s, carry {motion.carry_m_s} m/s"
    print(f"{bins} bins of {number} parts per type; sensor {arguments.sensor}; {speeds}; ", end="")
    print(f"{arguments.vision_s} s from image to grasp\n")
    sources: dict[str, PoseSource] = {"true": true_poses, "model": lambda view: bundle.pipeline(view.frame)}
    for name, source in sources.items():
        if arguments.poses in (name, "both"):
            measured(name, source, parts, bundle.objects, bins, number, config, arguments)


def measured(
    name: str, source: PoseSource, parts: dict[str, PreparedPart], objects: Mapping[str, ObjectModel],
    bins: int, number: int, config: PickingConfig, arguments: Arguments,
) -> None:  # fmt: skip
    """The table of one source of poses."""
    every: list[Clearing] = []
    rows = []
    kinds = list(objects)
    for part in parts:
        found = [
            cleared(part, parts, objects, SEED + 1000 * kinds.index(part) + k, source, number, config, arguments.sensor)
            for k in range(bins)
        ]
        every += found
        rows.append(row(part, found, config, arguments.vision_s))
    rows.append(row("all", every, config, arguments.vision_s))
    header = ["part", "tries", "success per try", "95 % interval", "collided", "placed", "cleared bins", "picks/h"]
    print(f"## Poses: {name}\n")
    table(header, rows)
    figures = PickFigures.of(every, config.collision_m)
    print(f"Arm: {config.arm.name}; tries in which its links touched anything: {figures.link_contacts}\n")
    print("Ends: " + ", ".join(f"{end} {count}" for end, count in figures.ends.most_common()) + "\n")
    reasons = {clearing.reason for clearing in every if clearing.left}
    print("Left in bins because: " + (" | ".join(sorted(reasons)) or "-") + "\n", flush=True)


def cleared(
    part: str, parts: dict[str, PreparedPart], objects: Mapping[str, ObjectModel], seed: int,
    source: PoseSource, number: int, config: PickingConfig, sensor: str,
) -> Clearing:  # fmt: skip
    """One bin that is emptied as far as possible."""
    filled = fill_bin(np.random.default_rng(seed), parts, [part] * number)
    clearing = BinClearing(filled, objects, seed, source, config, sensor=sensor).run()
    ends = " ".join(end_of(one) for one in clearing.tries)
    print(f"{part}, bin {seed}: {ends}, {clearing.left} of {clearing.parts} left", file=sys.stderr, flush=True)
    return clearing


def row(name: str, clearings: Sequence[Clearing], config: PickingConfig, vision_s: float) -> list[str]:
    """Figures of some bins."""
    figures = PickFigures.of(clearings, config.collision_m)
    low, high = figures.success_interval
    return [
        name, str(figures.tries), f"{100 * figures.success_rate:.0f} %", f"{100 * low:.0f} - {100 * high:.0f} %",
        str(figures.collided), f"{figures.placed} of {figures.parts}", f"{figures.cleared} of {figures.bins}",
        f"{figures.picks_per_hour(vision_s):.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Arguments))
