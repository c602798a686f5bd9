"""Simulates the benchmark's bins and stores them in benchmarks/bins.npz: once, because the figures depend on them.

python benchmarks/store_bins.py [--model demo] [--count 60]
"""

from dataclasses import dataclass

import tyro

from binpose_pipeline.bundle import load_bundle
from binpose_simulation.stored_bins import write_bins
from scenes import EVALUATION_SEED, STORED, scene_of, settled_bins


@dataclass(frozen=True)
class Arguments:
    """model: whose parts are in the bins. count: of bins."""

    model: str = "demo"
    count: int = 60


def main(arguments: Arguments) -> None:
    """Simulate and store."""
    objects = load_bundle(arguments.model).objects
    bins = list(settled_bins(objects, scene_of(objects), arguments.count, EVALUATION_SEED))
    write_bins(STORED, bins, objects)
    print(f"{STORED}: {len(bins)} bins, {STORED.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
