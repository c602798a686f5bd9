"""`binpose train`: from CAD files to a model, on simulated bins alone."""

from dataclasses import dataclass
from pathlib import Path

from binpose.commands.command import Command, console, split_names


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train one model for several parts of the catalogue, on simulation alone.

    Ctrl-C leaves a usable model and a checkpoint that --resume goes on from.

    Example: binpose train --objects gearmotor,pulley,pin --out models/wrs --minutes 28
    """

    objects: str
    """Parts of the catalogue, separated by commas."""
    out: Path
    """Folder for the model."""
    catalogue: Path = Path("objects")
    """Folder of the catalogue."""
    minutes: float = 28.0
    """How long to train."""
    resume: bool = False
    """Go on from the checkpoint in the model's folder."""
    seed: int = 0
    """Seed of everything random."""
    workers: int = 1
    """Processes that simulate bins beside the training."""

    def run(self) -> int:
        from binpose.training import TrainConfig, train
        from binpose_core.catalogue import Catalogue

        catalogue = Catalogue(self.catalogue)
        objects = [catalogue.load(name) for name in split_names(self.objects, "--objects")]
        config = TrainConfig(minutes=self.minutes, seed=self.seed, workers=self.workers)
        train(objects, self.out, config, resume=self.resume)
        console.print(f"Model in {self.out}. Next: [bold]binpose estimate FRAMES --model {self.out} --out runs/x[/]")
        return 0
