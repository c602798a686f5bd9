"""A simulated cell: a bin, a camera above it and a hand. It gives images and executes grasps, until it is empty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from binpose_cell.carriers import hand_carrier
from binpose_cell.cell_camera import CellCamera
from binpose_cell.config import PickingConfig
from binpose_cell.drag_motion import execute_drag
from binpose_cell.filled_bin import FilledBin
from binpose_cell.hand_carrier import HandPath
from binpose_cell.pick_motion import PickResult, execute
from binpose_cell.pick_world import OnStep, PickWorld
from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Drag, Grasp, Hypothesis
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.grasps import PARALLEL, TOOLS
from binpose_grasping.gripper import GripperConfig
from binpose_simulation.bins import BinSpec
from binpose_simulation.scene import SimulatedView
from binpose_simulation.world import UnstableError

PLACE_M, PITCH_M, COLUMNS, ROWS = 0.16, 0.12, 4, 2
"""Distance of the first row of placed parts from the rim, and their distances; number of columns, and of the rows that
an arm reaches: parts on the table are taken away."""
CLEARED, NO_TRIES = "The bin is empty.", "All tries are used up."
REPEATED = "Every grasp left is one that failed before."
NO_GRASP = "There was no grasp."
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Try:
    """One try.

    number: of the view, from 0. grasp: in the camera frame. result: of the physics.
    held_id: type of the part that was held, or "".
    """

    number: int
    grasp: Grasp
    result: PickResult
    held_id: str = ""

    @property
    def pose(self) -> Hypothesis:
        """The pose of the part that was grasped at."""
        assert self.grasp.pose is not None  # `PickingCell.take` refuses others
        return self.grasp.pose

    @property
    def succeeded(self) -> bool:
        """Whether a part of the type that was expected was placed."""
        return self.result.succeeded and self.held_id == self.pose.object_id


class PickingCell:
    """A cell with one bin.

    `look()` gives an image. `take()` executes the best of its grasps. `end` states why there is nothing left to do.

    Args:
        filled: bin and parts.
        camera: above this bin.
        gripper: the hand.
        config: of the picks.
        on_step: called after each step of the physics.

    Raises:
        BinposeError: if a library or the description of the arm is missing.
    """

    def __init__(
        self,
        filled: FilledBin,
        camera: CellCamera,
        gripper: GripperConfig | None = None,
        config: PickingConfig | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        self.config, self._filled = config or PickingConfig(), filled
        self.camera = camera
        grip, carrier = self.config.grip, hand_carrier(self.config)
        self.world = PickWorld(filled.bodies, filled.spec, filled.T_world_obj, gripper, grip, on_step, carrier)
        self.parts, self.spilled, self.tries, self.end = len(filled.bodies), 0, 0, ""
        self._failed: list[FloatArray] = []
        self.drags, self.drag_s, self._dragged = 0, 0.0, list[FloatArray]()
        self.images = self._fruitless = 0
        self._began = False

    @property
    def bin_spec(self) -> BinSpec:
        """The bin."""
        return self._filled.spec

    @property
    def left(self) -> int:
        """Number of parts in the bin."""
        return int(self.world.present.sum())

    @property
    def T_world_cam(self) -> FloatArray:
        """(4, 4) of the camera in the frame of the bin."""
        return inverse(self.camera.T_cam_world)

    def begin(self) -> None:
        """Let the parts come to rest; done once.

        Raises:
            BinposeError: if the physics diverges.
        """
        if not self._began:
            self._began = True
            self._guarded(self._settle)

    def look(self) -> SimulatedView:
        """The next image; its noise differs from that of the image before."""
        self.begin()
        number, self.images = self.images, self.images + 1
        return self.camera.view(self.world.poses(), number)

    def take(self, grasps: Sequence[Grasp], reason: str = "", drags: Sequence[Drag] = ()) -> Try | None:
        """Execute the best grasp of the last image that is not a repetition of a failed one; None if there is none.

        Args:
            grasps: in the camera frame, best first, with the poses that they were planned for.
            reason: why there are none. It ends the work after `config.looks` images in a row without a grasp.
            drags: in the camera frame, best first; they are offered where the grasps are improbable. One is executed
                before such a grasp, and before the work ends.

        Raises:
            BinposeError: for a grasp of another tool or without a pose, or if the physics diverges.
        """
        self.begin()
        T_world_cam = self.T_world_cam
        grasp = next((one for one in grasps if not self._repeats(T_world_cam @ one.T_cam_hand)), None)
        if grasp is None:
            self._fruitless += 1
            if self._fruitless >= self.config.looks and not self._try_drag(drags):
                self.end = REPEATED if grasps else reason or NO_GRASP
            return None
        self._fruitless = 0
        if self._try_drag(drags):
            return None
        return self._guarded(lambda: self._tried(_executable(grasp).moved(T_world_cam), grasp))

    def abort(self) -> None:
        """Park the hand, after `on_step` has raised in a try."""
        self.world.park_hand()
        self._guarded(self._settle)

    def _tried(self, grasp: Grasp, seen: Grasp) -> Try:
        """Execute a grasp in the world frame; `seen` is the same in the camera frame."""
        gripper = self.world.gripper
        opening_m = min(grasp.width_m + 2 * gripper.clearance_m, gripper.opening_m)
        joints = None if grasp.joints is None else grasp.joints[grasp.grasp_waypoint]
        path = HandPath(grasp.T_cam_pregrasp, grasp.T_cam_hand, grasp.T_cam_retreat, opening_m, joints)
        result = execute(self.world, path, self._place_m, self.config)
        held = self._filled.object_ids[result.part] if result.part >= 0 else ""
        if result.succeeded:
            self.world.remove(result.part)
            self._failed.clear()
            self._dragged.clear()
        else:
            self._failed.append(path.T_grasp)
        self.world.park_hand()
        self.tries += 1
        self._settle()
        return Try(self.images - 1, seen, result, held)

    def _settle(self) -> None:
        """Let the parts come to rest; those beside the bin are not picked any more."""
        self.world.settle()
        low, high = self._filled.spec.inner_bounds(self._filled.spec.height_m)
        centers = self.world.centers()
        outside = ((centers[:, :2] < low) | (centers[:, :2] > high)).any(axis=1) & self.world.present
        for part in np.flatnonzero(outside):
            self.world.remove(int(part))
            self.spilled += 1
        if not self.left:
            self.end = CLEARED
        elif self.tries >= self.config.tries_per_part * self.parts:
            self.end = NO_TRIES

    @property
    def _place_m(self) -> FloatArray:
        """(2,) the next place on the table: parts are put down in rows."""
        row, column = divmod(self.parts - self.left, COLUMNS)
        row = row if self.world.carrier.teleports else row % ROWS
        rim_m = self._filled.spec.inner_bounds(self._filled.spec.height_m)[0][1]
        return np.array([(column - (COLUMNS - 1) / 2) * PITCH_M, rim_m - PLACE_M - row * PITCH_M])

    def _try_drag(self, drags: Sequence[Drag]) -> bool:
        """Execute the first drag of a part that does not lie as it did before another drag; False if there is none."""
        if len(self._dragged) >= self.config.drag.most:
            return False
        moved = (drag.moved(self.T_world_cam) for drag in drags)
        drag = next((one for one in moved if not self._is_near(one.T_cam_hand, self._dragged)), None)
        if drag is None:
            return False
        self._dragged.append(drag.T_cam_hand)
        self.drags, self._fruitless = self.drags + 1, 0
        self._guarded(partial(self._drag, drag))
        return True

    def _drag(self, drag: Drag) -> None:
        """Execute a drag in the world frame."""
        began = self.world.time_s
        if execute_drag(self.world, drag, self.config):
            self._failed.clear()  # Parts lie otherwise now.
        self.drag_s += self.world.time_s - began
        self.world.park_hand()
        self._settle()

    def _repeats(self, T_world_hand: FloatArray) -> bool:
        return self._is_near(T_world_hand, self._failed)

    def _is_near(self, T_world_hand: FloatArray, others: Sequence[FloatArray]) -> bool:
        away = [float(np.linalg.norm(T[:3, 3] - T_world_hand[:3, 3])) for T in others]
        return min(away, default=np.inf) < self.config.repeated_m

    def _guarded(self, action: Callable[[], Result]) -> Result:
        try:
            return action()
        except UnstableError as error:
            step_s = self.config.grip.timestep_s
            raise BinposeError(
                f"The physics of the picks diverged ({error}) with a time step of {step_s:g} s; expected a stable one; "
                "choose a smaller grip.timestep_s, or another seed."
            ) from error


def _executable(grasp: Grasp) -> Grasp:
    """Refuse what the hand cannot execute."""
    if grasp.tool != TOOLS[PARALLEL]:
        raise BinposeError(
            f"A grasp of the tool {grasp.tool!r} and a cell with a parallel hand; expected parallel; change "
            "planner.tool."
        )
    if grasp.pose is None:
        raise BinposeError("A grasp without the pose of its part; expected one; use grasps of GraspPlanner.")
    return grasp
