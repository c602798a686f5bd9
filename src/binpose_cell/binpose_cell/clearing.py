"""Empties a bin: image, poses, grasps, try, and again, until no part or no grasp is left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from binpose_cell.cell_camera import CellCamera
from binpose_cell.config import PickingConfig
from binpose_cell.filled_bin import FilledBin
from binpose_cell.pick_world import OnStep, PickWorld
from binpose_cell.picking_cell import PickingCell, Try
from binpose_core.base.errors import BinposeError
from binpose_core.base.stopwatch import Stopwatch
from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.grasps import PARALLEL, TOOLS
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import Direction, PlannerConfig
from binpose_grasping.planner import GraspPlan, GraspPlanner
from binpose_grasping.search_config import SearchConfig
from binpose_simulation.scene import SimulatedView

PoseSource = Callable[[SimulatedView], Sequence[PoseEstimate]]
TRUE_SCORE = 0.99


@dataclass(frozen=True, eq=False)
class Clearing:
    """How a bin was emptied.

    tries: in their order. parts: number of parts at the start. left: in the bin at the end. spilled: number of parts
    that fell beside the bin. reason: why it ended. seconds: wall-clock times of images, poses and grasps, summed.
    images: number of them. drags: number of drags. drag_s: simulated time of the drags, summed.
    """

    tries: tuple[Try, ...]
    parts: int
    left: int
    spilled: int
    reason: str
    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0
    drags: int = 0
    drag_s: float = 0.0


def true_poses(view: SimulatedView) -> list[PoseEstimate]:
    """The true poses of all parts in a view: with them, only grasps and physics can fail."""
    return [PoseEstimate(name, T, TRUE_SCORE) for name, T in zip(view.object_ids, view.T_cam_obj, strict=True)]


class BinClearing:
    """A cell with one bin, and who finds poses and grasps in its images.

    Args:
        filled: bin and parts.
        objects: the parts by id, with their grasps.
        camera: above this bin.
        poses: estimates the poses of a view.
        config: of the picks.
        planner: settings of the grasps; direction of approach, bin and arm are those of the cell. By default parts
            without grasps get those of a whole search, about two seconds each.
        on_view: called with each view, its poses and its plan.
        on_step: called after each step of the physics.

    Raises:
        BinposeError: for a planner of another tool.
    """

    def __init__(
        self,
        filled: FilledBin,
        objects: Mapping[str, ObjectModel],
        camera: CellCamera,
        poses: PoseSource = true_poses,
        config: PickingConfig | None = None,
        planner: PlannerConfig | None = None,
        on_view: Callable[[SimulatedView, Sequence[PoseEstimate], GraspPlan], None] | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        planner = planner or PlannerConfig(search=SearchConfig())
        if planner.tool != TOOLS[PARALLEL]:
            raise BinposeError(
                f"A planner of the tool {planner.tool!r} and a cell with a parallel hand; expected parallel; "
                "change planner.tool."
            )
        self.cell = PickingCell(filled, camera, planner.gripper, config, on_step)
        down = Direction(*(float(value) for value in self.cell.camera.T_cam_world[:3, :3] @ [0.0, 0.0, -1.0]))
        arm, place = self.cell.config.arm, self.cell.config.bin
        bin_ = replace(filled.planned_bin(), placement=place)
        planner = replace(planner, down=down, arm=arm, cell=replace(planner.cell, bin=bin_))
        self._T_base_cam = place.matrix @ self.cell.T_world_cam
        self._on_view = on_view
        watch = self._watch = Stopwatch()
        self._view = watch.around("image", self.cell.look)
        self._poses = watch.around("poses", poses)
        self._plan = watch.around("grasps", GraspPlanner(objects, planner).plan)

    @property
    def world(self) -> PickWorld:
        """The physics."""
        return self.cell.world

    def run(self, on_try: Callable[[Try], None] = lambda one: None) -> Clearing:
        """Pick until the bin is empty, no grasp is left, or the tries are used up; `on_try` gets each try.

        Raises:
            BinposeError: if the physics diverges.
        """
        tries: list[Try] = []
        cell = self.cell
        cell.begin()
        while not cell.end:
            plan = self.planned()
            found = cell.take(plan.grasps, plan.reason, plan.drags)
            if found is not None:
                tries.append(found)
                on_try(found)
        return Clearing(
            tuple(tries), cell.parts, cell.left, cell.spilled, cell.end, self.seconds,
            cell.images, cell.drags, cell.drag_s,
        )  # fmt: skip

    def planned(self) -> GraspPlan:
        """The grasps of a new image of the bin as it is."""
        view = self._view()
        poses = self._poses(view)
        plan: GraspPlan = self._plan(view.frame, poses, self._T_base_cam)
        if self._on_view is not None:
            self._on_view(view, poses, plan)
        return plan

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock times of images, poses and grasps so far, summed."""
        return dict(self._watch.seconds)
