"""A cell with known truth, for benchmarks of self-training: path-traced frames that nothing is trained on with labels.

    python benchmarks/target_domain.py --out target           # reduced: 3 part types, 40 unlabelled and 30 test frames
    python benchmarks/target_domain.py --out target --full    # 8 part types, 150 and 100 frames

Writes the data sets <out> (frames to learn from) and <out>_test. Both show one cell: the same materials, lamps and
cameras, and other bins. An interrupted run is resumed by the same command. The table then states how complete and how
exact the measured depth is, by material. `--measure` alone measures data sets that are there.
"""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.labelled_views import labelled_views
from binpose_core.frames.types import LabelledView
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_core.rendering.renderer import Renderer
from binpose_simulation import materials as mat
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.export import export_bop, views_there
from binpose_simulation.parts.library import PART_NAMES, make_part
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.path_traced.traced_scene import TracedCell, material_of
from binpose_simulation.scene import SceneConfig
from binpose_simulation.viewpoint import ViewpointConfig
from common import heading, spread, table

# Used for nothing else: neither for training nor for tuning nor for other benchmarks.
CELL_SEED, UNLABELLED_SEED, TEST_SEED = 660_002, 660_101, 660_201
SPLIT = "sim"
REDUCED = ("v_pulley", "l_bracket", "t_pipe")
FULL = ("hex_bolt", "t_pipe", "spur_gear", "l_bracket", "v_pulley", "connector", "hinge_leaf", "stepped_shaft")


@dataclass(frozen=True)
class Arguments:
    """out: folder of the frames to learn from; the test frames go to <out>_test. full: all types and frames.

    unlabelled, test: other numbers of frames. workers: processes; 0 = one per CPU. measure: write nothing.
    """

    out: Path
    full: bool = False
    unlabelled: int | None = None
    test: int | None = None
    workers: int = 0
    measure: bool = False


def cell_objects(names: tuple[str, ...]) -> list[ObjectModel]:
    """The parts, numbered as in the library."""
    return [make_object(make_part(name), name, PART_NAMES.index(name) + 1) for name in names]


def cell_scene(types: int) -> SceneConfig:
    """One camera and one bin of 12 to 18 parts at a time."""
    fewest = min(types, 3)
    return SceneConfig(
        content=ContentConfig(
            parts=(12, 18),
            mixed_share=1.0,
            types=(fewest, min(types, 5)),
            distractor_share=0.0,
            row_share=0.0,
            bin_size_m=(0.26, 0.19, 0.09),
        ),
        viewpoint=ViewpointConfig(
            fov_rad=(0.9, 0.9), part_size_px=(80.0, 120.0), tilt_rad=0.4, steep_share=0.0, aim=0.15
        ),
        views_per_pile=2,
        breadboard_share=0.0,
    )


def write(root: Path, names: tuple[str, ...], count: int, seed: int, workers: int) -> None:
    """The frames of one data set, with a line for each."""
    start, began = views_there(root, SPLIT, seed), time.perf_counter()

    def show(done: int, total: int) -> None:
        rate = (time.perf_counter() - began) / (done - start)
        print(f"{root}: {done} of {total} frames, {rate:.1f} s each", flush=True)

    config = PathTracedConfig(cell=CELL_SEED)
    export_bop(
        root, cell_objects(names), count, cell_scene(len(names)), seed, SPLIT, workers or None, show, None, config
    )


def measure(root: Path, objects: list[ObjectModel]) -> None:
    """The share of a part's visible pixels with depth, and the error of that depth, for each type."""
    found = defaultdict(list)
    renderer, index = Renderer([part.mesh for part in objects]), {part.id: k for k, part in enumerate(objects)}
    for view in labelled_views(BopDataset(root), SPLIT, purpose="evaluation"):
        for name, values in depth_of_parts(view, renderer, index):
            found[name].append(values)
    rows = []
    for name, values in sorted(found.items()):
        shares, errors, wrong = np.array(values).T
        _, row = material_of(f"part:{name}", TracedCell(CELL_SEED), PathTracedConfig())
        rows.append([
            name, f"{row[mat.METALLIC]:.2f}", f"{row[mat.ROUGHNESS]:.2f}", str(len(values)), spread(100 * shares, 1, 0),
            spread(1e3 * errors[np.isfinite(errors)], 1, 2), spread(100 * wrong[np.isfinite(wrong)], 1, 0),
        ])  # fmt: skip
    print(f"\n{root}\n")
    table(["part", "metallic", "roughness", "seen", "depth, %", "error, mm", "over 5 mm, %"], rows)


def depth_of_parts(
    view: LabelledView, renderer: Renderer, index: dict[str, int]
) -> list[tuple[str, tuple[float, float, float]]]:
    """Name of each part that is half visible; its share of measured pixels, median error, and share of gross errors."""
    meshes = np.array([index[name] for name in view.object_ids], np.int64)
    true_m = renderer.scene(meshes, view.T_cam_obj, view.frame.camera).depth_m
    assert view.frame.depth_m is not None
    result = []
    for number, name in enumerate(view.object_ids):
        mask = view.instance_ids == number
        if view.visible_fraction[number] < 0.5 or mask.sum() < 50:
            continue
        depth_m = view.frame.depth_m[mask]
        error_m = np.abs(depth_m - true_m[mask])[depth_m > 0]
        known = len(error_m) > 0
        errors = (float(np.median(error_m)), float((error_m > 0.005).mean())) if known else (np.nan, np.nan)
        result.append((name, (float((depth_m > 0).mean()), *errors)))
    return result


def main() -> None:
    """Write both data sets and measure them."""
    arguments = tyro.cli(Arguments, description=__doc__)
    names = FULL if arguments.full else REDUCED
    counts = (150, 100) if arguments.full else (40, 30)
    chosen = (arguments.unlabelled or counts[0], arguments.test or counts[1])
    roots = (arguments.out, arguments.out.with_name(f"{arguments.out.name}_test"))
    heading("Target domain")
    for root, count, seed in zip(roots, chosen, (UNLABELLED_SEED, TEST_SEED), strict=True):
        if not arguments.measure:
            write(root, names, count, seed, arguments.workers)
        measure(root, cell_objects(names))


if __name__ == "__main__":
    main()
