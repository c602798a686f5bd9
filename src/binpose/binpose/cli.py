"""The command line: `binpose add`, `train`, `estimate`, `self-train` and more; `Commands` lists them."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

# OpenMP reads it when it is loaded: spinning threads slow down 5 to 10 times beside another busy process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tyro
from rich.text import Text

from binpose.commands.add import Add
from binpose.commands.bag import ShowBag
from binpose.commands.calibrate import Calibrate
from binpose.commands.check_cell import CheckCell
from binpose.commands.command import Command, console, errors
from binpose.commands.demo import Demo
from binpose.commands.estimate import Estimate
from binpose.commands.evaluate import Evaluate
from binpose.commands.export import Export
from binpose.commands.grasps import Grasps
from binpose.commands.models import Models
from binpose.commands.pick import Pick
from binpose.commands.self_train import SelfTrain
from binpose.commands.simulate import Simulate
from binpose.commands.train import Train
from binpose_core.base.errors import BinposeError
from binpose_core.learning.stored_parts import own_version

DESCRIPTION = """Estimate the poses of parts in bins with models that are trained from CAD files alone.

Example: binpose demo

With your own parts:

    binpose add part.stl --id part --unit mm
    binpose train --objects part --out models/part --start-from demo
    binpose estimate frames/ --model models/part --out runs/part

`binpose --version` prints the version."""

Commands = (
    Annotated[Add, tyro.conf.subcommand("add")]
    | Annotated[Grasps, tyro.conf.subcommand("grasps")]
    | Annotated[CheckCell, tyro.conf.subcommand("check-cell")]
    | Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Calibrate, tyro.conf.subcommand("calibrate")]
    | Annotated[Estimate, tyro.conf.subcommand("estimate")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Pick, tyro.conf.subcommand("pick")]
    | Annotated[SelfTrain, tyro.conf.subcommand("self-train")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | Annotated[ShowBag, tyro.conf.subcommand("bag")]
)

FAILED, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (some frames failed), 2 (an error) or 130 (Ctrl-C)."""
    if list(sys.argv[1:] if arguments is None else arguments) == ["--version"]:
        console.print(f"binpose {own_version()}", highlight=False)
        return 0
    command: Command = tyro.cli(
        Commands,
        prog="binpose",
        description=DESCRIPTION,
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes),
    )
    try:
        return command.run()
    except BinposeError as error:
        if command.debug:
            raise
        errors.print(Text("error:", "bold red"), str(error))
        return FAILED
    except KeyboardInterrupt:
        errors.print("interrupted; finished results are kept")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
