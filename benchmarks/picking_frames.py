"""Frames to learn from without labels, of the cell in which `picking.py --renderer path_traced` picks.

    python benchmarks/picking_frames.py --out data/handles [--part bow_handle] [--frames 60]

Each frame shows another bin of 4 to 14 parts of one type, as the cell's camera sees it while bins are emptied. The bins
are not those of `picking.py`. The data set is marked: its labels are for evaluation only. An interrupted run is resumed
by the same command. Needs the extra `path_traced`.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from binpose_cell.filled_bin import fill_bin
from binpose_cell.gripped_parts import gripped_parts
from binpose_cell.traced_camera import traced_camera
from binpose_core.base.threads import limit_threads
from binpose_core.datasets.bop_writer import BopWriter
from binpose_core.datasets.label_use import mark_for_evaluation
from binpose_pipeline.bundle import load_bundle
from binpose_simulation.export import views_there
from binpose_simulation.path_traced.config import PathTracedConfig
from common import heading
from picking import CELL_SEED

SEED, SPLIT = 618_000, "sim"
"""Of the first bin; used for nothing else."""
FEWEST, MOST = 4, 14


@dataclass(frozen=True)
class Arguments:
    """out: folder of the data set. part: type in the bins. frames: their number. model: that knows the part."""

    out: Path
    part: str = "bow_handle"
    frames: int = 60
    model: str = "demo"


def main(arguments: Arguments) -> None:
    """Write the frames that are missing."""
    limit_threads(1)
    heading("Frames of the path-traced cell")
    objects = load_bundle(arguments.model).objects
    parts = gripped_parts({arguments.part: objects[arguments.part]})
    mark_for_evaluation(arguments.out)
    config = PathTracedConfig(cell=CELL_SEED)
    start, began = views_there(arguments.out, SPLIT, SEED), time.perf_counter()
    with BopWriter(arguments.out, SPLIT, SEED, list(objects.values()), flush_every=1) as writer:
        for index in range(start, arguments.frames):
            rng = np.random.default_rng([SEED, index])
            filled = fill_bin(rng, parts, [arguments.part] * int(rng.integers(FEWEST, MOST + 1)))
            view = traced_camera(filled, config, SEED + index).view(filled.T_world_obj, 0)
            writer.write(
                view.frame, view.object_ids, view.T_cam_obj, view.instance_ids, view.T_cam_world, view.sensor,
                bin_number=index,
            )  # fmt: skip
            rate = (time.perf_counter() - began) / (index + 1 - start)
            print(f"{index + 1} of {arguments.frames} frames, {rate:.1f} s each", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
