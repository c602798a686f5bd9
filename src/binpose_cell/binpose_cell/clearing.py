"""Empties a bin: image, poses, grasps, try, and again, until no part or no grasp is left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from binpose_cell.cell_camera import SENSOR, CellCamera
from binpose_cell.config import PickingConfig
from binpose_cell.filled_bin import FilledBin
from binpose_cell.pick_motion import HandPath, PickResult, execute
from binpose_cell.pick_world import OnStep, PickWorld
from binpose_core.base.errors import BinposeError
from binpose_core.base.stopwatch import Stopwatch
from binpose_core.frames.types import Grasp, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.grasps import PARALLEL, TOOLS
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import Direction, PlannerConfig
from binpose_grasping.planner import GraspPlan, GraspPlanner
from binpose_simulation.scene import SimulatedView
from binpose_simulation.world import UnstableError

PoseSource = Callable[[SimulatedView], Sequence[PoseEstimate]]
TRUE_SCORE = 0.99
PLACE_M, PITCH_M, COLUMNS = 0.16, 0.12, 4
"""Distance of the first row of placed parts from the rim, and their distances; number of columns."""
CLEARED, NO_TRIES = "The bin is empty.", "All tries are used up."
REPEATED = "Every grasp left is one that failed before."


@dataclass(frozen=True, eq=False)
class Try:
    """One try.

    number: of the view, from 0. pose: that was grasped at. grasp: in the camera frame. result: of the physics.
    held_id: type of the part that was held, or "".
    """

    number: int
    pose: PoseEstimate
    grasp: Grasp
    result: PickResult
    held_id: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether a part of the type that was expected was placed."""
        return self.result.succeeded and self.held_id == self.pose.object_id


@dataclass(frozen=True, eq=False)
class Clearing:
    """How a bin was emptied.

    tries: in their order. parts: number of parts at the start. left: in the bin at the end. spilled: number of parts
    that fell beside the bin. reason: why it ended. seconds: wall-clock times of images, poses and grasps, summed.
    """

    tries: tuple[Try, ...]
    parts: int
    left: int
    spilled: int
    reason: str
    seconds: dict[str, float] = field(default_factory=dict)


def true_poses(view: SimulatedView) -> list[PoseEstimate]:
    """The true poses of all parts in a view: with them, only grasps and physics can fail."""
    return [PoseEstimate(name, T, TRUE_SCORE) for name, T in zip(view.object_ids, view.T_cam_obj, strict=True)]


class BinClearing:
    """A cell with one bin.

    Args:
        filled: bin and parts.
        objects: the parts by id, with their grasps.
        seed: of camera and images.
        poses: estimates the poses of a view.
        config: of the picks.
        planner: settings of the grasps; direction of approach and bin are those of the cell.
        on_view: called with each view, its poses and its plan.
        on_step: called after each step of the physics.
        sensor: kind of the depth sensor, one of `binpose_simulation.sensor.SENSOR_KINDS`.

    Raises:
        BinposeError: for a planner of another tool, or an unknown sensor.
    """

    def __init__(
        self,
        filled: FilledBin,
        objects: Mapping[str, ObjectModel],
        seed: int,
        poses: PoseSource = true_poses,
        config: PickingConfig | None = None,
        planner: PlannerConfig | None = None,
        on_view: Callable[[SimulatedView, Sequence[PoseEstimate], GraspPlan], None] | None = None,
        on_step: OnStep | None = None,
        sensor: str = SENSOR,
    ) -> None:
        self.config, self._filled, self._on_view = config or PickingConfig(), filled, on_view
        self.camera = CellCamera(filled, seed, sensor)
        planner = planner or PlannerConfig()
        if planner.tool != TOOLS[PARALLEL]:
            raise BinposeError(
                f"A planner of the tool {planner.tool!r} and a cell with a parallel hand; expected parallel; "
                "change planner.tool."
            )
        down = Direction(*(float(value) for value in self.camera.T_cam_world[:3, :3] @ [0.0, 0.0, -1.0]))
        planner = replace(planner, down=down, cell=replace(planner.cell, bin=filled.planned_bin()))
        self.world = PickWorld(
            filled.bodies, filled.spec, filled.T_world_obj, planner.gripper, self.config.grip, on_step
        )
        watch = self._watch = Stopwatch()
        self._view = watch.around("image", self.camera.view)
        self._poses = watch.around("poses", poses)
        self._plan = watch.around("grasps", GraspPlanner(objects, planner).plan)
        self._failed: list[FloatArray] = []
        self._spilled = self._looks = 0

    def run(self, on_try: Callable[[Try], None] = lambda one: None) -> Clearing:
        """Pick until the bin is empty, no grasp is left, or the tries are used up; `on_try` gets each try.

        Raises:
            BinposeError: if the physics diverges.
        """
        try:
            return self._run(on_try)
        except UnstableError as error:
            step_s = self.config.grip.timestep_s
            raise BinposeError(
                f"The physics of the picks diverged ({error}) with a time step of {step_s:g} s; expected a stable one; "
                "choose a smaller grip.timestep_s, or another seed."
            ) from error

    def _run(self, on_try: Callable[[Try], None]) -> Clearing:
        tries: list[Try] = []
        most, reason = self.config.tries_per_part * len(self._filled.bodies), NO_TRIES
        self.world.settle()
        self._remove_spilled()
        while self.world.present.any() and len(tries) < most:
            found = self._next()
            if isinstance(found, str):
                reason = found
                break
            tries.append(found)
            on_try(found)
        left = int(self.world.present.sum())
        reason, seconds = reason if left else CLEARED, dict(self._watch.seconds)
        return Clearing(tuple(tries), len(self._filled.bodies), left, self._spilled, reason, seconds)

    def _next(self) -> Try | str:
        """The next try, or why there is none after the last of some looks."""
        found: Try | str = NO_TRIES
        for _ in range(self.config.looks):
            found = self._after_look()
            if isinstance(found, Try):
                break
        return found

    def _after_look(self) -> Try | str:
        """The try after one image, or why there is none."""
        number, self._looks = self._looks, self._looks + 1
        view = self._view(self.world.poses(), number)
        poses = self._poses(view)
        T_world_cam = inverse(view.T_cam_world)
        plan = self._plan(view.frame, poses, T_world_cam)
        if self._on_view is not None:
            self._on_view(view, poses, plan)
        if not plan.grasps:
            return plan.reason
        grasp = next((one for one in plan.grasps if not self._repeats(T_world_cam @ one.T_cam_hand)), None)
        return REPEATED if grasp is None else self._tried(number, poses[grasp.pose_index], grasp, T_world_cam)

    def _tried(self, number: int, pose: PoseEstimate, grasp: Grasp, T_world_cam: FloatArray) -> Try:
        gripper = self.world.gripper
        opening_m = min(grasp.width_m + 2 * gripper.clearance_m, gripper.opening_m)
        before, at, after = (T_world_cam @ T for T in (grasp.T_cam_pregrasp, grasp.T_cam_hand, grasp.T_cam_retreat))
        path = HandPath(before, at, after, opening_m)
        result = execute(self.world, path, self._place_m, self.config)
        held = self._filled.object_ids[result.part] if result.part >= 0 else ""
        if result.succeeded:
            self.world.remove(result.part)
            self._failed.clear()
        else:
            self._failed.append(path.T_grasp)
        self.world.park_hand()
        self.world.settle()
        self._remove_spilled()
        return Try(number, pose, grasp, result, held)

    @property
    def _place_m(self) -> FloatArray:
        """(2,) the next place on the table: parts are put down in rows."""
        row, column = divmod(int((~self.world.present).sum()), COLUMNS)
        rim_m = self._filled.spec.inner_bounds(self._filled.spec.height_m)[0][1]
        return np.array([(column - (COLUMNS - 1) / 2) * PITCH_M, rim_m - PLACE_M - row * PITCH_M])

    def _repeats(self, T_world_hand: FloatArray) -> bool:
        away = [float(np.linalg.norm(T[:3, 3] - T_world_hand[:3, 3])) for T in self._failed]
        return min(away, default=np.inf) < self.config.repeated_m

    def _remove_spilled(self) -> None:
        """Parts that lie beside the bin are not picked any more."""
        low, high = self._filled.spec.inner_bounds(self._filled.spec.height_m)
        centers = self.world.centers()
        outside = ((centers[:, :2] < low) | (centers[:, :2] > high)).any(axis=1) & self.world.present
        for part in np.flatnonzero(outside):
            self.world.remove(int(part))
            self._spilled += 1
