"""`binpose train`: from CAD files to a model, on simulated bins alone."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from binpose.commands.bin_options import BinOptions
from binpose.commands.command import Command, console, split_names
from binpose_pipeline.bundle import UNCALIBRATED

if TYPE_CHECKING:
    from binpose_training.training_run import Progress as Report


@dataclass(frozen=True, kw_only=True)
class Train(BinOptions, Command):
    """Train one model for several parts of the catalogue, on simulation alone.

    Ctrl-C leaves a checkpoint that --resume goes on from.

    Example: binpose train --objects gearmotor,pulley,pin --out models/wrs --minutes 28
    """

    objects: str
    """Parts of the catalogue, separated by commas; `library` stands for the parts that binpose makes itself."""
    out: Path
    """Folder for the model."""
    catalogue: Path = Path("objects")
    """Folder of the catalogue."""
    minutes: float = 28.0
    """How long to train."""
    start_from: Path | None = None
    """A model, of these parts or others, whose weights to begin with: a folder, or `demo` for the shipped one."""
    resume: bool = False
    """Go on from what an interrupted training left in the model's folder."""
    detector: Literal["votes", "mask_rcnn"] = "votes"
    """What finds the instances: votes (the default, for CPUs), or torchvision's Mask R-CNN, on colour alone."""
    refinement_network: bool = False
    """Train a refinement network too, in 15 % of the time, for `binpose estimate --refiner network`."""
    device: str = "cpu"
    """Where the networks are trained: cpu, cuda or cuda:<number>."""
    seed: int = 0
    """Seed of everything random."""
    workers: int = 0
    """Processes that simulate bins; 0 = one per CPU."""

    def run(self) -> int:
        """Train and say what came of it."""
        from binpose_core.base.threads import available_cpus
        from binpose_core.learning.model_store import ModelStore
        from binpose_pipeline.bundle import load_bundle
        from binpose_simulation.prepared_parts import check_bin
        from binpose_simulation.scene import SceneConfig
        from binpose_training.chosen_parts import chosen_objects
        from binpose_training.config import TrainConfig
        from binpose_training.training import train

        scene = self.with_bin(SceneConfig())
        objects = chosen_objects(split_names(self.objects, "--objects"), self.catalogue)
        check_bin({part.id: part for part in objects}, scene.content)
        workers = self.workers or available_cpus()
        config = TrainConfig(minutes=self.minutes, seed=self.seed, workers=workers, detector=self.detector, scene=scene)
        if self.refinement_network:
            config = config.with_refinement_network()
        start = load_bundle(self.start_from) if self.start_from is not None else None
        try:
            with _bars() as report:
                version = train(
                    objects, self.out, config, resume=self.resume, progress=report, start=start, device=self.device
                )
        except KeyboardInterrupt:
            console.print(f"Interrupted. What was learnt is in {self.out / 'training'}; go on with --resume.")
            return 130
        console.print(f"Model {version[:12]} in {self.out}.")
        if not ModelStore(self.out).header(version)["calibrated"]:
            console.print(UNCALIBRATED, style="yellow")
        console.print("Next:", Text(f"binpose estimate FRAMES --model {self.out} --out runs/x", "bold"))
        return 0


@contextlib.contextmanager
def _bars() -> Iterator["Report"]:
    """One bar per stage, made when the stage begins; without a terminal a line for every tenth of a stage."""
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description:14s}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[message]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, share: float, message: str) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0, message="")
            progress.update(tasks[stage], completed=share, message=message)

        yield report


def _lines() -> "Report":
    told: dict[str, int] = {}

    def report(stage: str, share: float, message: str) -> None:
        tenths = int(10 * share)
        if told.get(stage, -1) < tenths:
            told[stage] = tenths
            console.print(f"{stage} {10 * tenths} %  {message}", highlight=False)

    return report
