"""The grid from which the peers' settings were chosen: bins of another seed than those they are measured on.

    python benchmarks/tune_peers.py [--frames 5] [--methods ppf fpfh]

Each setting is varied alone, the others as in `PpfConfig` and `FpfhConfig`. The best recall wins; where recalls are
equal, the shorter time.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tyro

from binpose_core.base.threads import available_cpus, limit_threads
from binpose_core.evaluation.matching import HALF_VISIBLE
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_simulation.parts import PART_NAMES, make_part
from binpose_simulation.scene import SimulatedView
from common import heading, table
from peer_methods import FpfhConfig, MaskedPart, Method, Open3dFpfh, OpencvPpf, PpfConfig
from peers import is_right
from scenes import TUNING_SEED, unseen_views

METHODS: dict[str, tuple[Any, Any]] = {"ppf": (OpencvPpf, PpfConfig()), "fpfh": (Open3dFpfh, FpfhConfig())}
GRID: dict[str, dict[str, tuple[Any, ...]]] = {
    "ppf": {
        "sampling": (0.05, 0.06, 0.08),
        "scene_sampling": (0.04, 0.05, 0.06),
        "references": (0.1, 0.2, 0.5),
        "angles": (24, 30, 40, 60),
        "candidates": (10, 20),
    },
    "fpfh": {
        "voxel": (0.03, 0.04, 0.05),
        "feature_voxels": (5.0, 7.0),
        "tries": (4, 8, 16),
        "iterations": (50_000, 200_000),
    },
}


@dataclass(frozen=True)
class Arguments:
    """frames: how many, one pile each. methods: of ppf and fpfh."""

    frames: int = 5
    methods: tuple[str, ...] = ("ppf", "fpfh")


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    limit_threads(available_cpus())
    heading(f"Settings of the peers, {arguments.frames} simulated bins, parts at least 50 % visible")
    objects = {name: make_object(make_part(name), name, i + 1) for i, name in enumerate(PART_NAMES)}
    views = unseen_views(objects, arguments.frames, seed=TUNING_SEED)
    for method in arguments.methods:
        kind, default = METHODS[method]
        configs = {"as they are": default} | {
            f"{field} = {value}": replace(default, **{field: value})
            for field, values in GRID[method].items()
            for value in values
            if value != getattr(default, field)
        }
        rows = [[name, *tried(kind(objects, config), objects, views)] for name, config in configs.items()]
        table([method, "recall", "CPU ms per part"], rows)


def tried(method: Method, objects: Mapping[str, ObjectModel], views: Sequence[SimulatedView]) -> tuple[str, str]:
    """Recall and CPU time of a method, all threads together."""
    errors = {name: PartErrors(model) for name, model in objects.items()}
    right, spent_s = [], 0.0
    for view in views:
        indices = np.flatnonzero(view.visible_fraction >= HALF_VISIBLE)
        began = time.process_time()
        poses = method(view.frame, [MaskedPart(view.object_ids[i], view.instance_ids == i) for i in indices])
        spent_s += time.process_time() - began
        for i, pose in zip(indices, poses, strict=True):
            part = errors[view.object_ids[i]]
            right.append(is_right(part, pose, view.T_cam_obj[i]))
    return f"{np.mean(right):.1%} of {len(right)}", f"{1e3 * spent_s / len(right):.0f}"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
