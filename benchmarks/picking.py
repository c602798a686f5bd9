"""Success of simulated picks per try: with true poses (the ceiling of the grasps) and with the poses of a model.

    python benchmarks/picking.py [--reduced] [--models demo] [--parts bow_handle gearmotor] [--bins 10] [--number 14]
    python benchmarks/picking.py --renderer path_traced --parts bow_handle --bins 5 --models demo cell@candidate

Several models pick from the same bins; the last table has a row for each. With path_traced, all bins stand in one cell
whose images are path-traced, with depth from a matched stereo pair. `picking_frames.py` writes frames of
this cell to learn from.

Each bin holds parts of one type. It is emptied as by `binpose pick`: images, poses, grasps, physics. The table also
lists approaches that overlap bin or parts by more than 1 mm, cleared bins, and successful picks per hour at the stated
speeds.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tyro

from binpose_cell.cell_camera import SENSOR, CellCamera
from binpose_cell.clearing import BinClearing, Clearing, PoseSource, true_poses
from binpose_cell.config import PickingConfig
from binpose_cell.figures import PickFigures, end_of
from binpose_cell.filled_bin import FilledBin, fill_bin
from binpose_cell.gripped_parts import gripped_parts
from binpose_cell.traced_camera import traced_camera
from binpose_core.base.threads import limit_threads
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.arm import ArmConfig
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.prepared_parts import PreparedPart
from common import heading, table

SEED = 616_000
"""Of the first bin; used for nothing else."""
CELL_SEED = 617_000
"""Of the materials, lamps and camera of the path-traced cell; used for nothing else."""
FIGURES = ("tries", "success per try", "95 % interval", "collided", "drags", "placed", "cleared bins", "picks/h")


@dataclass(frozen=True)
class Arguments:
    """What is measured.

    models: that find the parts: a store's folder or a shipped name, with @ and a version or alias where it is not the
    one in use. parts: types; by default all of the first model. bins: per type. number: of parts in a bin.
    vision_s: assumed time from image to grasp, for the picks per hour: this machine may be busy.
    renderer: of the images. sensor: kind of the depth sensor of the standard renderer.
    poses: "true", "model" or "both".
    arm: that carries the hand: none, fer or fr3.
    reduced: one bin of eight parts per type, in less than 10 minutes on one core.
    """

    models: tuple[str, ...] = ("demo",)
    parts: tuple[str, ...] = ()
    bins: int = 10
    number: int = 14
    vision_s: float = 0.3
    renderer: Literal["standard", "path_traced"] = "standard"
    sensor: str = SENSOR
    poses: Literal["true", "model", "both"] = "both"
    arm: str = "none"
    reduced: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Bins per type, and parts in a bin."""
        return (1, 8) if self.reduced else (self.bins, self.number)


def main(arguments: Arguments) -> None:
    """Empty the bins and print the tables."""
    limit_threads(1)
    heading("Simulated picks")
    bundles = {name: load_bundle(name) for name in arguments.models}
    objects, config = bundles[arguments.models[0]].objects, PickingConfig(arm=ArmConfig(name=arguments.arm))
    parts = gripped_parts({name: objects[name] for name in arguments.parts or objects})
    print(f"{description(arguments, config)}\n")
    sources: dict[str, PoseSource] = {} if arguments.poses == "model" else {"true": true_poses}
    if arguments.poses != "true":
        sources |= {f"model {name}, {one.version[:12]}": poses_of(one) for name, one in bundles.items()}
    rows = []
    for name, source in sources.items():
        every = measured(name, source, parts, objects, config, arguments)
        rows.append(row(name, every, config, arguments.vision_s))
    print("## All parts\n")
    table(["poses", *FIGURES], rows)


def poses_of(bundle: PipelineBundle) -> PoseSource:
    """The poses that a model finds in a view."""
    return lambda view: bundle.pipeline(view.frame)


def description(arguments: Arguments, config: PickingConfig) -> str:
    """What all tables have in common."""
    motion = config.motion
    images = f"sensor {arguments.sensor}" if arguments.renderer == "standard" else "path-traced images, matched depth"
    bins, number = arguments.size
    return (
        f"{bins} bins of {number} parts per type; {images}; approach {motion.approach_m_s} m/s, lift "
        f"{motion.lift_m_s} m/s, carry {motion.carry_m_s} m/s; {arguments.vision_s} s from image to grasp"
    )


def measured(
    name: str, source: PoseSource, parts: dict[str, PreparedPart], objects: Mapping[str, ObjectModel],
    config: PickingConfig, arguments: Arguments,
) -> list[Clearing]:  # fmt: skip
    """The bins, emptied with one source of poses; prints its table."""
    every: list[Clearing] = []
    rows = []
    kinds = list(objects)
    for part in parts:
        seeds = [SEED + 1000 * kinds.index(part) + k for k in range(arguments.size[0])]
        found = [cleared(part, parts, objects, seed, source, config, arguments) for seed in seeds]
        every += found
        rows.append(row(part, found, config, arguments.vision_s))
    rows.append(row("all", every, config, arguments.vision_s))
    print(f"## Poses: {name}\n")
    table(["part", *FIGURES], rows)
    figures = PickFigures.of(every, config.collision_m)
    print(f"Arm: {config.arm.name}; tries in which its links touched anything: {figures.link_contacts}\n")
    print("Ends: " + ", ".join(f"{end} {count}" for end, count in figures.ends.most_common()) + "\n")
    reasons = {clearing.reason for clearing in every if clearing.left}
    print("Left in bins because: " + (" | ".join(sorted(reasons)) or "-") + "\n", flush=True)
    return every


def cleared(
    part: str, parts: dict[str, PreparedPart], objects: Mapping[str, ObjectModel], seed: int,
    source: PoseSource, config: PickingConfig, arguments: Arguments,
) -> Clearing:  # fmt: skip
    """One bin that is emptied as far as possible."""
    filled = fill_bin(np.random.default_rng(seed), parts, [part] * arguments.size[1])
    clearing = BinClearing(filled, objects, camera_above(filled, seed, arguments), source, config).run()
    ends = " ".join(end_of(one) for one in clearing.tries)
    print(
        f"{part}, bin {seed}: {ends}, {clearing.drags} drags, {clearing.left} of {clearing.parts} left",
        file=sys.stderr,
        flush=True,
    )
    return clearing


def camera_above(filled: FilledBin, seed: int, arguments: Arguments) -> CellCamera:
    """A camera of its own for each bin, or that of the path-traced cell."""
    if arguments.renderer == "path_traced":
        return traced_camera(filled, PathTracedConfig(cell=CELL_SEED), seed)
    return CellCamera(filled, seed, arguments.sensor)


def row(name: str, clearings: Sequence[Clearing], config: PickingConfig, vision_s: float) -> list[str]:
    """Figures of some bins."""
    figures = PickFigures.of(clearings, config.collision_m)
    low, high = figures.success_interval
    return [
        name, str(figures.tries), f"{100 * figures.success_rate:.0f} %", f"{100 * low:.0f} - {100 * high:.0f} %",
        str(figures.collided), str(figures.drags), f"{figures.placed} of {figures.parts}",
        f"{figures.cleared} of {figures.bins}", f"{figures.picks_per_hour(vision_s):.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Arguments))
