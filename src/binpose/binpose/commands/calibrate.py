"""`binpose calibrate`: fit the scores of a trained model anew, without training it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.text import Text

from binpose.commands.bin_options import BinOptions
from binpose.commands.command import Command, console, described, progress_bar
from binpose_pipeline.bundle import UNCALIBRATED


@described
@dataclass(frozen=True, kw_only=True)
class Calibrate(BinOptions, Command):
    """Fit the scores of a trained model anew on simulated bins of all depth sensors; the networks stay as they are.

    For models of earlier versions of binpose, and after a change of the bin.

    model: The model's folder, or the name of a shipped model.
    out: Folder for the calibrated model; default the same folder, as its new current version.
    views: Simulated bins to fit on.
    evaluation_views: Further bins for the metrics.
    seed: Seed of the bins.
    workers: Processes that simulate bins; 0 = one per CPU.

    Example: binpose calibrate models/wrs
    """

    model: Annotated[Path, tyro.conf.Positional]
    out: Path | None = None
    views: int = 120
    evaluation_views: int = 40
    seed: int = 0
    workers: int = 0

    def run(self) -> int:
        """Calibrate, save and report what was measured."""
        from binpose.held_out import held_out_sentence
        from binpose_core.base.errors import BinposeError
        from binpose_core.base.threads import available_cpus
        from binpose_pipeline.bundle import load_bundle, store_and_version
        from binpose_simulation.scene import SceneConfig
        from binpose_training.calibration import calibration_steps
        from binpose_training.recalibration import recalibrate

        store, version = store_and_version(self.model)
        if version and self.out is None:
            raise BinposeError(
                f"The model {self.model} is one version of a store, and the result would be in use there; expected "
                "another store for it; give --out."
            )
        out = self.out or store
        bundle, scene = load_bundle(self.model), self.with_bin(SceneConfig())
        with progress_bar() as progress:
            tasks = {
                "calibration": progress.add_task("Fitting the scores", total=calibration_steps(self.views)),
                "evaluation": progress.add_task("Evaluating", total=self.evaluation_views),
            }
            version, calibrated = recalibrate(
                bundle, store, out, scene, self.seed, self.workers or available_cpus(),
                self.views, self.evaluation_views, lambda stage: progress.advance(tasks[stage]),
            )  # fmt: skip
        console.print(f"Model {version[:12]} in {out}.")
        console.print(held_out_sentence(calibrated.metrics), style="bold")
        if not calibrated.calibrated:
            console.print(UNCALIBRATED, style="yellow")
        console.print("Next:", Text(f"binpose estimate FRAMES --model {out} --out runs/x", "bold"))
        return 0
