"""Time to find the grasps of CAD files, time to plan for ten parts, and why grasps are refused.

python benchmarks/grasps.py [--cad cad/gearmotor.stl cad/pulley.stl] [--model demo] [--frames 20] [--arm fer]
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from binpose_core.base.threads import limit_threads
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import from_rotation_translation, inverse
from binpose_core.meshes.mesh_files import read_mesh
from binpose_core.parts.objects import ObjectModel, make_object
from binpose_grasping.arm import ArmConfig
from binpose_grasping.config import Direction, PlannerConfig
from binpose_grasping.planner import GraspPlanner
from binpose_grasping.refusals import Refusal
from binpose_grasping.search import find_grasps
from binpose_pipeline.bundle import load_bundle
from binpose_simulation.scene import SimulatedView, render_view, simulate_pile
from common import heading, spread, table
from scenes import EVALUATION_SEED, scene_of

T_BASE_BIN = from_rotation_translation(np.eye(3), np.array([0.5, 0.0, 0.0]))
PARTS = 10
FREE = "offered"
VISIBLE = 0.3
"""Least visible fraction of a part that a grasp is expected of."""


@dataclass(frozen=True)
class Arguments:
    """What is measured.

    cad: CAD files whose grasps are searched.
    model: whose parts lie in the bins.
    frames: number of bins with ten parts each; true poses are given.
    bin_m: inner length, width and height of the bins; by default wide enough for the Franka hand.
    repeats: measurements of each, after one warm-up.
    arm: of the robot; "none" for no robot.
    """

    cad: tuple[Path, ...] = ()
    model: str = "demo"
    frames: int = 20
    bin_m: tuple[float, float, float] = (0.3, 0.2, 0.08)
    repeats: int = 3
    arm: str = "fer"


@dataclass(frozen=True)
class Timed:
    """A result, and its wall-clock and processor time in seconds."""

    value: Any
    wall_s: float
    cpu_s: float


def timed(function: Callable[[], Any]) -> Timed:
    """Call a function once."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = function()
    return Timed(value, time.perf_counter() - wall, time.process_time() - cpu)


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    limit_threads(1)
    heading("Grasps from CAD files, and of ten parts in a bin")
    if arguments.cad:
        searches(arguments.cad)
    plans(arguments)


def searches(paths: Sequence[Path]) -> None:
    """Time of the search for each CAD file."""
    rows = []
    for path in paths:
        part = make_object(read_mesh(path, None, False)[0], path.stem)
        found = timed(lambda part=part: find_grasps(part))
        grasps = found.value.grasps
        counts = [int((grasps.tool == tool).sum()) for tool in (0, 1)]
        best = f"{grasps.quality.max():.3f}" if len(grasps) else found.value.reason
        rows.append([path.stem, f"{found.wall_s:.1f}", f"{found.cpu_s:.1f}", str(counts[0]), str(counts[1]), best])
    table(["CAD file", "seconds", "CPU seconds", "parallel", "suction", "best quality"], rows)


def plans(arguments: Arguments) -> None:
    """Time from poses to ranked grasps, and the reasons of refused ones."""
    objects = load_bundle(arguments.model).objects
    times: list[Timed] = []
    counts: Counter[str] = Counter()
    found, shares = [], []
    for view in bins(objects, arguments):
        planner, T_base_cam = planner_of(objects, view, arguments.arm)
        poses = [PoseEstimate(name, T, 0.95) for name, T in zip(view.object_ids, view.T_cam_obj, strict=True)]
        planner.plan(view.frame, poses, T_base_cam)
        runs = [timed(lambda: planner.plan(view.frame, poses, T_base_cam)) for _ in range(arguments.repeats)]  # noqa: B023
        times += runs
        plan = runs[0].value
        found.append(len(plan.grasps))
        visible = {int(n) for n in np.flatnonzero(view.visible_fraction > VISIBLE)}
        shares.append(len(visible & {grasp.pose_index for grasp in plan.grasps}) / max(len(visible), 1))
        counts += Counter({FREE: len(plan.grasps)}) + Counter({r.code: n for r, n in plan.refused.items()})
    wall, cpu = (np.array([getattr(run, name) for run in times]) for name in ("wall_s", "cpu_s"))
    rows = [["wall clock", spread(wall, 1e-3)], ["processor", spread(cpu, 1e-3)]]
    table([f"ten parts, arm {arguments.arm}", "ms, median (10th-90th percentile)"], rows)
    print(f"bins with a grasp {np.mean(np.array(found) > 0):.2f}, grasps per bin {np.mean(found):.1f}, ", end="")
    print(f"visible parts with a grasp {np.mean(shares):.2f}\n")
    tried = sum(n for code, n in counts.items() if code not in (Refusal.DIRECTION.code, Refusal.NOT_TRIED.code))
    rows = [[code, str(n), f"{n / max(tried, 1):.3f}"] for code, n in counts.most_common()]
    table(["reason", "grasps", "fraction of those checked"], rows)


def bins(objects: dict[str, ObjectModel], arguments: Arguments) -> Iterator[SimulatedView]:
    """Settled bins of the given size with ten parts, as a noisy camera sees them."""
    scene = scene_of(objects, (PARTS, PARTS))
    scene = replace(scene, content=replace(scene.content, bin_size_m=arguments.bin_m, distractor_share=0.0))
    for number in range(arguments.frames):
        rng = np.random.default_rng([EVALUATION_SEED, number])
        yield render_view(simulate_pile(rng, objects, scene), rng, scene)


def planner_of(objects: dict[str, ObjectModel], view: Any, arm: str) -> tuple[GraspPlanner, np.ndarray]:
    """A planner whose hand comes from above, and the camera's place in the frame of the arm."""
    T_base_cam = T_BASE_BIN @ inverse(view.T_cam_world)
    down = view.T_cam_world[:3, :3] @ [0.0, 0.0, -1.0]
    direction = Direction(*map(float, down))
    config = PlannerConfig(down=direction, arm=replace(ArmConfig(), name=arm), per_part=1, most=PARTS)
    return GraspPlanner(objects, config), T_base_cam


if __name__ == "__main__":
    main(tyro.cli(Arguments))
