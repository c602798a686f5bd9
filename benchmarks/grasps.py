"""Time to find the grasps of CAD files, time to plan for ten parts, and why grasps are refused.

python benchmarks/grasps.py [--cad cad/gearmotor.stl cad/pulley.stl] [--model demo] [--frames 6] [--arm fer]
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
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
from common import heading, spread, table
from scenes import unseen_views

T_BASE_BIN = from_rotation_translation(np.eye(3), np.array([0.5, 0.0, 0.0]))
PARTS = 10
FREE = "offered"


@dataclass(frozen=True)
class Arguments:
    """What is measured.

    cad: CAD files whose grasps are searched.
    model: whose parts lie in the bins.
    frames: number of bins with ten parts each; true poses are given.
    repeats: measurements of each, after one warm-up.
    arm: of the robot; "none" for no robot.
    """

    cad: tuple[Path, ...] = ()
    model: str = "demo"
    frames: int = 6
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
    found = []
    for view in unseen_views(objects, arguments.frames, (PARTS, PARTS)):
        planner, T_base_cam = planner_of(objects, view, arguments.arm)
        poses = [PoseEstimate(name, T, 0.95) for name, T in zip(view.object_ids, view.T_cam_obj, strict=True)]
        planner.plan(view.frame, poses, T_base_cam)
        runs = [timed(lambda: planner.plan(view.frame, poses, T_base_cam)) for _ in range(arguments.repeats)]  # noqa: B023
        times += runs
        plan = runs[0].value
        found.append(len(plan.grasps))
        counts += Counter({FREE: len(plan.grasps)}) + Counter({r.code: n for r, n in plan.refused.items()})
    wall, cpu = (np.array([getattr(run, name) for run in times]) for name in ("wall_s", "cpu_s"))
    rows = [["wall clock", spread(wall, 1e-3)], ["processor", spread(cpu, 1e-3)]]
    table([f"ten parts, arm {arguments.arm}", "ms, median (10th-90th percentile)"], rows)
    print(f"bins with a grasp {np.mean(np.array(found) > 0):.2f}, grasps per bin {np.mean(found):.1f}\n")
    tried = sum(n for code, n in counts.items() if code not in (Refusal.DIRECTION.code, Refusal.NOT_TRIED.code))
    rows = [[code, str(n), f"{n / max(tried, 1):.3f}"] for code, n in counts.most_common()]
    table(["reason", "grasps", "fraction of those checked"], rows)


def planner_of(objects: dict[str, ObjectModel], view: Any, arm: str) -> tuple[GraspPlanner, np.ndarray]:
    """A planner whose hand comes from above, and the camera's place in the frame of the arm."""
    T_base_cam = T_BASE_BIN @ inverse(view.T_cam_world)
    down = view.T_cam_world[:3, :3] @ [0.0, 0.0, -1.0]
    config = PlannerConfig(down=Direction(*map(float, down)), arm=replace(ArmConfig(), name=arm))
    return GraspPlanner(objects, config), T_base_cam


if __name__ == "__main__":
    main(tyro.cli(Arguments))
