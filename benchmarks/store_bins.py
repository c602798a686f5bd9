"""Settle the benchmark's bins and store them in benchmarks/bins.npz: once, since the figures depend on them.

    python benchmarks/store_bins.py [--model demo] [--count 60]
"""

from dataclasses import dataclass

import numpy as np
import tyro

from binpose.bundle import load_bundle
from binpose_core.evaluation import HALF_VISIBLE
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import render_view, simulate_pile
from binpose_simulation.stored_bins import StoredBin, write_bins
from binpose_simulation.stream import PILES, VIEWS
from scenes import EVALUATION_SEED, STORED, scene_of


@dataclass(frozen=True)
class Arguments:
    """model: whose parts lie in the bins. count: of bins."""

    model: str = "demo"
    count: int = 60


def main(arguments: Arguments) -> None:
    """Settle, look once for the viewpoint, store."""
    objects = load_bundle(arguments.model).objects
    scene = scene_of(objects)
    parts = as_prepared(objects, scene.content)
    bins, visible = [], 0
    for number in range(arguments.count):
        pile = simulate_pile(np.random.default_rng([EVALUATION_SEED, PILES, number]), parts, scene)
        view = render_view(pile, np.random.default_rng([EVALUATION_SEED, VIEWS, number]), scene)
        bins.append(StoredBin(pile, view.frame.camera, view.T_cam_world))
        visible += int((view.visible_fraction >= HALF_VISIBLE).sum())
    write_bins(STORED, bins, objects)
    print(f"{STORED}: {len(bins)} bins, {visible} parts at least half visible, {STORED.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
