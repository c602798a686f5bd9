"""`binpose check-cell`: compare the calibrations of a cell with what the camera sees."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from binpose.commands.command import Command, compiling, console, described, waiting
from binpose_core.base.errors import BinposeError
from binpose_grasping.bin_alignment_config import BinAlignmentConfig
from binpose_grasping.cell import CellConfig
from binpose_grasping.gripper import GripperConfig

if TYPE_CHECKING:
    from rich.table import Table

    from binpose_core.datasets.folder import FrameSource
    from binpose_core.frames.camera_view import CameraView
    from binpose_core.frames.types import PoseEstimate
    from binpose_grasping.cell_check import CellCheck
    from binpose_pipeline.bundle import PipelineBundle


@described
@dataclass(frozen=True, kw_only=True)
class CheckCell(Command):
    """Check hand-eye and bin calibration: measure in millimetres where the camera sees bin and parts.

    The exit status is 1 if the error is larger than what a pick tolerates. Camera poses of frames
    (docs/several_views.md) must be in the frame of the arm's base; for frames without, --cell.camera counts.

    Example: binpose check-cell frames/ --model models/cell --cell.bin.size-x-m 0.4 --cell.bin.size-y-m 0.3

    path: BOP data set, folder with images and camera.json, or bag.
    model: Folder of the model, or the name of a shipped model (demo); with @VERSION for another version.
    frames: Largest number of frames that are used, spread over all.
    split: Split of the BOP data set; only needed if there are several.
    base_frame: Frame of a bag's transforms that is the arm's base.
    cell: Bin and camera.
    gripper: The hand, for the error that a pick tolerates.
    alignment: The comparison of the bin with the depth images.
    """

    path: tyro.conf.Positional[Path]
    model: Path
    frames: int = 5
    split: str | None = None
    base_frame: str = ""
    cell: CellConfig = field(default_factory=CellConfig)
    gripper: GripperConfig = field(default_factory=GripperConfig)
    alignment: BinAlignmentConfig = field(default_factory=BinAlignmentConfig)

    def run(self) -> int:
        """Read, estimate, compare, print; 1 if a pick would fail."""
        from binpose_core.frames.filters import PoseFilter
        from binpose_grasping.cell_check import check_cell
        from binpose_pipeline.bundle import load_bundle
        from binpose_pipeline.kernels import compile_kernels
        from binpose_recording.inputs import open_inputs

        if self.frames < 1:
            raise BinposeError(f"--frames is {self.frames}; expected at least 1.")
        with waiting(f"Opening {self.path} ..."):
            sources = open_inputs(self.path, self.split, world_frame=self.base_frame).frames
        views = self._views(sources)
        with waiting(f"Loading {self.model} ..."):
            bundle = load_bundle(self.model)
        with compiling():
            compile_kernels(bundle.pipeline, bundle.objects)
        with waiting("Finding the parts ..."):
            found = [bundle.pipeline(view.frame) for view in views]
        poses = [[pose for pose in some if pose.score >= PoseFilter.threshold] for some in found]
        with waiting("Comparing ..."):
            tolerated_m = self._tolerated_m(bundle, views, poses)
            check = check_cell(views, poses, bundle.objects, self.cell.bin, tolerated_m, self.alignment)
        console.print(cell_table(check))
        for sentence in check.sentences():
            console.print(sentence, style="" if check.passed else "yellow")
        return 0 if check.passed else 1

    def _views(self, sources: Sequence["FrameSource"]) -> list["CameraView"]:
        """Some of the frames, with the camera in the frame of the arm's base."""
        from binpose_core.frames.camera_view import CameraView

        chosen = sources[:: max(1, -(-len(sources) // self.frames))]
        views = []
        for source in chosen:
            pose = getattr(source, "camera_pose", lambda: None)()
            views.append(CameraView(source.read(), self.cell.camera.matrix if pose is None else pose))
        return views

    def _tolerated_m(
        self, bundle: "PipelineBundle", views: Sequence["CameraView"], poses: Sequence[Sequence["PoseEstimate"]]
    ) -> float:
        """What the best grasps of the first frame with grasps tolerate."""
        from binpose_grasping.cell_check import tolerated_error_m
        from binpose_grasping.config import PlannerConfig
        from binpose_grasping.planner import GraspPlanner

        found = {pose.object_id for some in poses for pose in some}
        config = PlannerConfig(gripper=self.gripper, per_part=1)
        planner = GraspPlanner({name: bundle.objects[name] for name in sorted(found)}, config)
        cone_rad = config.search.contact.cone_rad
        for view, some in zip(views, poses, strict=True):
            if grasps := planner(view.frame, some):
                return tolerated_error_m(grasps, some, bundle.objects, self.gripper, cone_rad)
        return tolerated_error_m((), (), bundle.objects, self.gripper, cone_rad)


def cell_table(check: "CellCheck") -> "Table":
    """Displacement of the bin in each frame, and how far parts reach through floor and walls, in millimetres."""
    import numpy as np
    from rich import box
    from rich.table import Table

    table = Table(title="bin, seen - configured", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("frame", "x, mm", "y, mm", "z, mm", "angle, deg", "points", "parts below, mm", "in walls, mm"):
        table.add_column(name)
    for frame in check.frames:
        offset = np.where(frame.bin.determined, 1e3 * frame.bin.offset_m, np.nan)
        values = ["-" if np.isnan(value) else f"{value:+.1f}" for value in offset]
        parts = ["-" if value is None else f"{1e3 * value:.1f}" for value in (frame.below_m, frame.outside_m)]
        angle = f"{np.degrees(frame.bin.angle_rad):.2f}" if frame.bin.determined.any() else "-"
        table.add_row(frame.name, *values, angle, str(frame.bin.points), *parts)
    return table
