"""From three CAD files to the parts in a real scan: training time, and the results of the model.

    python benchmarks/training.py [--minutes 28] [--start-from demo] [--dataset ../shared/data/wrs_bins]

The commands are those of the README. The scan is used only after the training.
"""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from binpose_core.learning.model_store import ModelStore
from common import ROOT, heading, table
from real_bins import Arguments as RealBins
from real_bins import main as measure_real_bins

PARTS = ("gearmotor", "pulley", "pin")


@dataclass(frozen=True)
class Arguments:
    """minutes: of training. start_from: a model, or `nothing`. out: of catalogue, model and overlay; must be new."""

    minutes: float = 28.0
    seed: int = 0
    start_from: str = "demo"
    dataset: Path = ROOT.parent / "shared/data/wrs_bins"
    out: Path = ROOT / "runs/training"


def main(arguments: Arguments) -> None:
    """Add, train, measure, and print both tables."""
    heading(f"Training from CAD files for {len(PARTS)} parts, starting from {arguments.start_from}")
    catalogue, model = arguments.out / "objects", arguments.out / "model"
    began = time.monotonic()
    for number, name in enumerate(PARTS, start=1):
        mesh = arguments.dataset / "models" / f"obj_{number:06d}.ply"
        _binpose("add", mesh, "--id", name, "--unit", "mm", "--catalogue", catalogue)
    added = time.monotonic()
    options = [] if arguments.start_from == "nothing" else ["--start-from", arguments.start_from]
    budget = ["--minutes", arguments.minutes, "--seed", arguments.seed]
    _binpose("train", "--objects", ",".join(PARTS), "--catalogue", catalogue, "--out", model, *budget, *options)
    trained = time.monotonic()
    store = ModelStore(model)
    done = store.header(store.current() or "")["training"]["done"]
    print()
    table(
        ["adding, s", "training, minutes", "views", "steps of the detector", "steps of the pose network"],
        [
            [
                f"{added - began:.0f}",
                f"{(trained - added) / 60:.1f}",
                *(f"{done[name]:,}" for name in ("views", "detector_steps", "pose_steps")),
            ]
        ],
    )
    measure_real_bins(RealBins(str(model), arguments.dataset, arguments.out / "real_bins"))


def _binpose(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "binpose.cli", *map(str, words)], check=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
