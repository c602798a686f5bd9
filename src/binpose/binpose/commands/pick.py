"""`binpose pick`: a simulated cell that empties a bin."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from binpose.commands.command import Command, compiling, console, described, progress_bar, split_names, waiting
from binpose.commands.renderer_options import RendererOptions
from binpose_cell.animation import AnimationConfig
from binpose_cell.cell_camera import SENSOR
from binpose_cell.config import PickingConfig

if TYPE_CHECKING:
    from rich.table import Table

    from binpose_cell.animation import MotionRecorder
    from binpose_cell.cell_camera import CellCamera
    from binpose_cell.clearing import BinClearing, Clearing
    from binpose_cell.filled_bin import FilledBin
    from binpose_core.datasets.bop_writer import BopWriter
    from binpose_core.frames.types import PoseEstimate
    from binpose_core.parts.objects import ObjectModel
    from binpose_grasping.planner import GraspPlan
    from binpose_pipeline.bundle import PipelineBundle
    from binpose_simulation.scene import SimulatedView

SPLIT, ANIMATION, OUTCOMES = "sim", "picks.webp", "outcomes.json"


@described
@dataclass(frozen=True, kw_only=True)
class Pick(RendererOptions, Command):
    """Simulate a cell that empties a bin, and show which picks succeed.

    Each try begins with a simulated image. The model finds the poses, the planner the grasps, and physics (MuJoCo)
    decides whether the part is lifted, shaken and placed. Writes picks.webp, and the images as a BOP data set
    with outcomes.json.

    Example: binpose pick --parts bow_handle --number 8

    parts: Part types in the bin, separated by commas; by default all of the model.
    number: Number of parts.
    seed: Seed of the bin, the light, the camera and the noise.
    model: Model that finds the parts; with @candidate or @VERSION for another version of its store.
    sensor: Kind of the depth sensor: industrial, active_stereo, consumer_structured_light, time_of_flight or ideal.
        The path tracer has a stereo pair instead.
    true_poses: Use the true poses in place of the model's: shows what the grasps alone are good for.
    animation: Draw picks.webp.
    out: Folder for the results; an earlier run in it is replaced.
    picking: Physics, motions and limits.
    picture: The animated picture.
    """

    parts: str = ""
    number: int = 10
    seed: int = 21
    model: Path = Path("demo")
    sensor: str = SENSOR
    true_poses: bool = False
    animation: bool = True
    out: Path = Path("runs/pick")
    picking: PickingConfig = field(default_factory=PickingConfig)
    picture: AnimationConfig = field(default_factory=AnimationConfig)

    def run(self) -> int:
        """Simulate, pick, draw, report."""
        from binpose_cell.animation import MotionRecorder, draw_moments, write_animation
        from binpose_core.base.files import write_json
        from binpose_core.datasets.bop_writer import BopWriter
        from binpose_core.datasets.label_use import mark_for_evaluation
        from binpose_pipeline.bundle import load_bundle
        from binpose_simulation.export import SETTINGS, remove_export, scene_directory

        path_traced = self.path_traced()
        with waiting("Loading the model ..."):
            bundle = load_bundle(self.model)
        filled = self._filled(bundle.objects)
        remove_export(self.out / "dataset", SPLIT)
        if path_traced is not None:
            mark_for_evaluation(self.out / "dataset")
        write_json(scene_directory(self.out / "dataset", SPLIT, self.seed) / SETTINGS, self._settings(filled))
        recorder = MotionRecorder(self.picture)
        with BopWriter(self.out / "dataset", SPLIT, self.seed, list(bundle.objects.values())) as writer, compiling():
            cell = self._cell(bundle, filled, writer, recorder)
            clearing = self._cleared(cell)
        self._write(clearing)
        console.print(tries_table(clearing))
        console.print(sentence(clearing, self.picking.collision_m))
        if self.animation:
            gripper = cell.world.gripper
            with waiting(f"Drawing {len(recorder.moments)} pictures ..."):
                pictures = draw_moments(recorder.moments, filled, gripper, self.picture)
            write_animation(self.out / ANIMATION, pictures, self.picture)
            console.print("Look at", Text(str(self.out / ANIMATION), "bold"))
        return 0

    def _filled(self, objects: "Mapping[str, ObjectModel]") -> "FilledBin":
        """The bin, with as many parts of each type as possible."""
        from binpose_cell.filled_bin import fill_bin
        from binpose_cell.gripped_parts import gripped_parts
        from binpose_core.base.errors import BinposeError, UnknownObject

        names = split_names(self.parts, "--parts") or tuple(objects)
        if unknown := [name for name in names if name not in objects]:
            raise UnknownObject(
                f"No part {unknown[0]!r} in the model {self.model}; known: {', '.join(objects)}; choose some of them.",
                unknown,
                objects,
            )
        if self.number < 1 or self.seed < 0:
            raise BinposeError(
                f"--number {self.number} and --seed {self.seed}; expected at least 1 and 0; choose others."
            )
        with waiting("Preparing parts ..."):
            parts = gripped_parts({name: objects[name] for name in names})
        wanted = [names[number % len(names)] for number in range(self.number)]
        return fill_bin(np.random.default_rng(self.seed), parts, wanted)

    def _settings(self, filled: "FilledBin") -> dict[str, object]:
        """What the picks depend on."""
        picking = {"picking": asdict(self.picking), "sensor": self.sensor, "true_poses": self.true_poses}
        path_traced = self.path_traced()
        if path_traced is not None:
            picking["path_traced"] = asdict(path_traced)
        return {"parts": filled.object_ids, "bin": asdict(filled.spec), "model": str(self.model), **picking}

    def _cell(
        self, bundle: "PipelineBundle", filled: "FilledBin", writer: "BopWriter", recorder: "MotionRecorder"
    ) -> "BinClearing":
        from binpose_cell.clearing import BinClearing, true_poses

        def keep(view: "SimulatedView", poses: "Sequence[PoseEstimate]", plan: "GraspPlan") -> None:
            writer.write(view.frame, view.object_ids, view.T_cam_obj, view.instance_ids, view.T_cam_world, view.sensor)

        def found(view: "SimulatedView") -> "Sequence[PoseEstimate]":
            return bundle.pipeline(view.frame)

        poses = true_poses if self.true_poses else found
        camera = self._camera(filled)
        return BinClearing(filled, bundle.objects, camera, poses, self.picking, on_view=keep, on_step=recorder)

    def _camera(self, filled: "FilledBin") -> "CellCamera":
        from binpose_cell.cell_camera import CellCamera
        from binpose_cell.traced_camera import traced_camera

        path_traced = self.path_traced()
        if path_traced is None:
            return CellCamera(filled, self.seed, self.sensor)
        return traced_camera(filled, path_traced, self.seed)

    def _cleared(self, cell: "BinClearing") -> "Clearing":
        with progress_bar() as progress:
            task = progress.add_task("Picking", total=self.number)
            return cell.run(on_try=lambda one: progress.advance(task, one.succeeded))

    def _write(self, clearing: "Clearing") -> None:
        """The picks by the name of their frame in the data set."""
        from binpose_cell.figures import outcome_of
        from binpose_core.datasets.pick_outcomes import write_outcomes

        picks = {f"{self.seed:06d}_{one.number:06d}": [outcome_of(one)] for one in clearing.tries}
        write_outcomes(self.out / "dataset" / OUTCOMES, picks)


def tries_table(clearing: "Clearing") -> "Table":
    """One row for each try."""
    from rich import box
    from rich.table import Table

    from binpose_cell.figures import end_of

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("try", "part", "pose", "grasp", "end", "width mm", "overlap mm", "s"):
        table.add_column(name, no_wrap=True)
    for one in clearing.tries:
        result = one.result
        table.add_row(
            str(one.number + 1), one.pose.object_id, f"{one.pose.score:.2f}", f"{one.grasp.score:.2f}",
            Text(end_of(one), "green" if one.succeeded else "red"), f"{1e3 * result.width_m:.1f}",
            f"{1e3 * result.overlap_m:.1f}", f"{result.motion_s:.1f}",
        )  # fmt: skip
    return table


def sentence(clearing: "Clearing", collision_m: float) -> str:
    """The result in words."""
    from binpose_cell.figures import PickFigures

    figures = PickFigures.of([clearing], collision_m)
    low, high = figures.success_interval
    touched = f", links of the arm touched something in {figures.link_contacts} tries" if figures.link_contacts else ""
    interval = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    return (
        f"{figures.succeeded} of {figures.tries} tries succeeded ({interval}), {figures.collided} approaches "
        f"collided{touched}; drags: {figures.drags}; "
        f"{figures.placed} of {figures.parts} parts placed, {clearing.left} left, {clearing.spilled} beside the bin. "
        f"{clearing.reason}"
    )
