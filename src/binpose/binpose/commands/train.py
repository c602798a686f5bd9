"""`binpose train`: from CAD files to a model, on simulated bins alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.text import Text

from binpose.commands.bin_options import BinOptions
from binpose.commands.command import Command, compiling, console, described, split_names
from binpose.commands.workers_option import opened_workers
from binpose.training_progress import training_progress
from binpose_core.base.errors import BinposeError
from binpose_pipeline.bundle import UNCALIBRATED

if TYPE_CHECKING:
    from binpose_core.parts.catalogue import ObjectModel
    from binpose_pipeline.bundle import PipelineBundle
    from binpose_training.config import TrainConfig


@described
@dataclass(frozen=True, kw_only=True)
class Train(BinOptions, Command):
    """Train one model for several parts of the catalogue, on simulation alone.

    Ctrl-C leaves a checkpoint that --resume continues. `torchrun --nproc-per-node N -m binpose.cli train` trains in N
    processes, each on a GPU of its own. All settings of all stages can be changed with --config and
    --set; `--write-config FILE` lists them with their descriptions.

    objects: Parts of the catalogue, separated by commas; `library` stands for the parts that binpose makes itself.
        Leave it out with --add-part.
    out: Folder for the model.
    catalogue: Folder of the catalogue.
    minutes: How long to train, calibration included; default 28.
    views: Budget in simulated views instead of minutes: the result does not depend on how busy the machine is.
    start_from: A model, of these parts or others, whose weights to begin with: a folder (with @VERSION
        for one that is not in use), or `demo` for the shipped one.
    add_part: Parts of the catalogue, separated by commas, to add to those of the model to start from. Bins show all of
        them, so that the old parts are not forgotten.
    only_new_rows: Train only the weights that belong to new parts. Poses of the old ones stay the same to the bit.
    resume: Continue what an interrupted training left in the model's folder.
    detector: What finds the instances: votes (the default, for CPUs), or torchvision's Mask R-CNN, on colour alone.
    preset: Kind of pose network, such as default, dcnet, densefusion or weighted_densefusion. An unknown name lists
        them all.
    teacher: Models whose pose networks teach this one (distillation); of several that know a part, the first.
    refinement_network: Train a refinement network too, in 15 % of the time, for `binpose estimate --refiner network`.
    config: YAML file with settings of the training; options of the command line win over it.
    assignments: Single settings by their names in the file, such as detector.training.loop.learning_rate=1e-3.
    write_config: Write all settings in effect to this YAML file, and do not train.
    tensorboard: Folder for TensorBoard's event files, with losses and learning rates (extra `tensorboard`).
    device: Where the networks are trained: cpu, cuda or cuda:<number>.
    seed: Seed of everything random; default 0.
    workers: Processes that simulate bins; 0 = one per CPU.
    ray: Share the simulation over a Ray cluster instead: auto, local or host:port (extra `ray`).

    Example: binpose train --objects gearmotor,pulley,pin --out models/wrs --start-from demo --minutes 28
    Example: binpose train --objects pin --out models/fused --preset densefusion
    """

    out: Path
    objects: str | None = None
    catalogue: Path = Path("objects")
    minutes: float | None = None
    views: int | None = None
    start_from: Path | None = None
    add_part: str | None = None
    only_new_rows: bool = False
    resume: bool = False
    detector: Literal["votes", "mask_rcnn"] | None = None
    preset: str | None = None
    teacher: tuple[Path, ...] = ()
    refinement_network: bool = False
    config: Path | None = None
    # `set` is the option's name; the built-in of that name is not hidden.
    assignments: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...")] = ()
    write_config: Path | None = None
    tensorboard: Path | None = None
    device: str = "cpu"
    seed: int | None = None
    workers: int = 0
    ray: str | None = None

    def run(self) -> int:
        """Train and report what was measured."""
        from binpose_core.learning.model_store import ModelStore
        from binpose_core.learning.ranks import process_group, rank
        from binpose_training.config_file import write_config

        config = self.training_config()
        if self.write_config is not None:
            write_config(config, self.write_config)
            console.print(f"Settings in {self.write_config}; train with --config {self.write_config}.")
            return 0
        try:
            with process_group(self.device) as device:
                console.quiet = rank() > 0
                version = self._trained(config, device)
        except KeyboardInterrupt:
            console.print(f"Interrupted. What was learnt is in {self.out / 'training'}; continue with --resume.")
            return 130
        console.print(f"Model {version[:12]} in {self.out}.")
        self._report(ModelStore(self.out).header(version))
        return 0

    def training_config(self) -> "TrainConfig":
        """The settings of the file, the options and the assignments.

        Raises:
            BinposeError: for an unknown setting or a wrong value.
        """
        from binpose_core.base.threads import available_cpus
        from binpose_training.config_file import training_config

        options: dict[str, Any] = {"minutes": self.minutes, "views": self.views, "seed": self.seed}
        options["workers"] = self.workers or None
        options = {name: value for name, value in options.items() if value is not None}
        if self.only_new_rows:
            options["only_new_rows"] = True
        if self.detector is not None:
            options["detector"] = {"backend": self.detector}
        pose: dict[str, Any] = {} if self.preset is None else {"preset": self.preset}
        if self.teacher:
            pose["distillation"] = {"teachers": [str(path) for path in self.teacher]}
        if pose:
            options["pose"] = pose
        config = training_config(self.config, options, self.assignments, self.refinement_network)
        simulation = replace(config.simulation, scene=self.with_bin(config.simulation.scene))
        return replace(config, simulation=simulation, workers=options.get("workers", available_cpus()))

    def _trained(self, config: "TrainConfig", device: str) -> str:
        from binpose_core.learning.ranks import by_rank_zero
        from binpose_pipeline.bundle import load_bundle
        from binpose_simulation.prepared_parts import check_bin
        from binpose_training.kernels import compile_kernels
        from binpose_training.training import train

        start = load_bundle(self.start_from) if self.start_from is not None else None
        objects = self._chosen_objects(start)
        check_bin({part.id: part for part in objects}, config.simulation.scene.content)
        with compiling():
            by_rank_zero(lambda: compile_kernels(objects, config))  # the others load what it compiles
        with (
            opened_workers(self.ray, self.workers if self.ray else config.workers) as workers,
            training_progress(console) as report,
        ):
            return train(
                objects, self.out, config, resume=self.resume, progress=report, start=start, device=device,
                tensorboard=self.tensorboard, workers=workers,
            )  # fmt: skip

    def _chosen_objects(self, start: "PipelineBundle | None") -> "list[ObjectModel]":
        """The parts of --objects, or those of the model to start from and of --add-part."""
        from binpose_training.chosen_parts import chosen_objects, with_added_parts

        if (self.objects is None) is (self.add_part is None) or (self.add_part is not None and start is None):
            raise BinposeError(
                "The parts of the training are missing, or given twice; expected --objects PARTS, or --start-from "
                "MODEL with --add-part PARTS; give one of them."
            )
        if self.objects is not None:
            return chosen_objects(split_names(self.objects, "--objects"), self.catalogue)
        assert start is not None and self.add_part is not None
        return with_added_parts(start.objects, split_names(self.add_part, "--add-part"), self.catalogue)

    def _report(self, header: dict[str, Any]) -> None:
        from binpose.held_out import held_out_sentence

        for stage, points in header.get("training", {}).get("validation", {}).items():
            if points:
                console.print(f"Validation of the {stage} network: {_curve(points)}.", highlight=False)
        console.print(held_out_sentence(header["metrics"]), style="bold")
        if not header["calibrated"]:
            console.print(UNCALIBRATED, style="yellow")
        console.print("Next:", Text(f"binpose estimate FRAMES --model {self.out} --out runs/x", "bold"))


def _curve(points: list[dict[str, Any]]) -> str:
    """The first, the middle and the last measurement of a validation's curve."""
    chosen = [points[i] for i in sorted({0, len(points) // 2, len(points) - 1})]
    measured = (", ".join(f"{name} {value:.2f}" for name, value in point["metrics"].items()) for point in chosen)
    return "; ".join(f"{text} after {point['steps']} steps" for text, point in zip(measured, chosen, strict=True))
