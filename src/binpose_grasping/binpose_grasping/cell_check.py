"""Whether the calibrations of a cell are good enough to pick: errors in millimetres, and what a pick tolerates.

The camera sees the bin and the parts. From frames of a resting bin, the bin's place is measured in each frame
(`bin_alignment`). A camera on the wrist that sees the bin at changing places of the base frame has a wrong hand-eye
calibration. A bin that is seen at one wrong place is configured wrongly, or the camera is fixed and its place is wrong.
Parts that reach through floor or walls show the same errors where the bin itself is not seen well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.types import Grasp, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.parts.grasps import PARALLEL, TOOLS
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.bin_alignment import BinAlignment, align_bin
from binpose_grasping.bin_alignment_config import BinAlignmentConfig
from binpose_grasping.cell import BinConfig
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.holding import holds

STEP_M, FARTHEST_M = 0.00025, 0.008
"""Displacements for which grasps are tested."""
POINTS = 1500
AXES = ("x", "y", "z")
GOOD, LIMIT = 0.5, 1.0
"""Errors up to these multiples of the tolerance are good, or at the limit."""


@dataclass(frozen=True, eq=False)
class FrameCheck:
    """One frame: the bin as the camera sees it, and how far parts reach through its floor and walls.

    below_m, outside_m: largest depth of a part below the floor and inside a wall; None without parts in the bin.
    """

    name: str
    bin: BinAlignment
    below_m: float | None
    outside_m: float | None


@dataclass(frozen=True, eq=False)
class CellCheck:
    """The verdict on a cell.

    frames: each frame.
    offset_m: (3,) mean displacement of the bin along its axes; NaN along axes that no frame determines.
    spread_m: largest distance of a frame's bin from the mean place; None for a camera that did not move.
    tolerated_m: error that a pick tolerates.
    """

    frames: Sequence[FrameCheck]
    offset_m: FloatArray
    spread_m: float | None
    tolerated_m: float

    @property
    def error_m(self) -> float:
        """The larger one of the mean displacement and the spread; NaN if no frame determines any."""
        known = self.offset_m[np.isfinite(self.offset_m)]
        return max(float(np.linalg.norm(known)), self.spread_m or 0.0) if len(known) else float("nan")

    @property
    def passed(self) -> bool:
        """Whether the error is known along all axes, and within what a pick tolerates."""
        return bool(np.isfinite(self.offset_m).all() and self.error_m <= LIMIT * self.tolerated_m)

    def sentences(self) -> list[str]:
        """The verdict, its reasons and what to do."""
        tolerance = f"A pick tolerates {1e3 * self.tolerated_m:.1f} mm."
        if not np.isfinite(self.error_m):
            return [f"The camera does not see enough of the bin near its configured place. {tolerance} " + NOT_SEEN]
        measured = ", ".join(
            f"{axis} {1e3 * value:+.1f}" if np.isfinite(value) else f"{axis} unknown"
            for axis, value in zip(AXES, self.offset_m, strict=True)
        )
        found = [f"The camera sees the bin {1e3 * self.error_m:.1f} mm from its place in the settings ({measured} mm)."]
        if self.spread_m is not None:
            found.append(f"Between the frames, the bin moves by up to {1e3 * self.spread_m:.1f} mm in the base frame.")
        if deepest := max((frame.below_m or 0.0 for frame in self.frames), default=0.0):
            found.append(f"Parts reach up to {1e3 * deepest:.1f} mm below the configured floor.")
        if self.passed:
            good = self.error_m <= GOOD * self.tolerated_m
            return [*found, f"{tolerance} {'The cell is good.' if good else 'The cell is at the limit.'}"]
        if self.error_m <= LIMIT * self.tolerated_m:
            return [*found, f"{tolerance} {UNKNOWN}"]
        moves = self.spread_m is not None and self.spread_m > GOOD * self.tolerated_m
        return [*found, f"{tolerance} {HAND_EYE if moves else PLACE}"]


NOT_SEEN = "Check the size and the placement of the bin, or take frames that show its walls."
UNKNOWN = (
    "The error along the other axes is unknown: take frames that show two opposite walls, or switch off "
    "alignment.slanting for vertical walls."
)
HAND_EYE = "Repeat the hand-eye calibration: the error depends on the pose of the camera."
PLACE = "Correct the placement of the bin, or that of a fixed camera: the error is the same in all frames."


def check_cell(
    views: Sequence[CameraView],
    poses: Sequence[Sequence[PoseEstimate]],
    objects: Mapping[str, ObjectModel],
    bin_: BinConfig,
    tolerated_m: float,
    config: BinAlignmentConfig | None = None,
) -> CellCheck:
    """Check the calibrations of a cell.

    Args:
        views: frames of one resting bin with the camera's pose in the frame of the arm's base.
        poses: the parts found in each view.
        objects: the parts by id.
        bin_: the configured bin.
        tolerated_m: error that a pick tolerates, see `tolerated_error_m`.
        config: settings of the alignment.

    Raises:
        BinposeError: without a view, a bin or depth.
    """
    if not views:
        raise BinposeError("No frame was given; expected at least one with the camera's pose in the base frame.")
    if not (bin_.size_x_m and bin_.size_y_m):
        raise BinposeError(
            f"The bin has the size {bin_.size_x_m:g} x {bin_.size_y_m:g} m; expected its inner size; set "
            "cell.bin.size_x_m and cell.bin.size_y_m."
        )
    config = config or BinAlignmentConfig()
    frames = [
        FrameCheck(
            view.name,
            align_bin(view.frame, found, objects, bin_, view.T_world_cam, config),
            *_intrusion(found, objects, inverse(bin_.placement.matrix) @ view.T_world_cam, bin_),
        )
        for view, found in zip(views, poses, strict=True)
    ]
    offsets = np.stack([np.where(frame.bin.determined, frame.bin.offset_m, np.nan) for frame in frames])
    known = np.isfinite(offsets)
    mean = np.where(known.any(axis=0), np.where(known, offsets, 0.0).sum(0) / np.maximum(known.sum(0), 1), np.nan)
    moved = any(not np.allclose(view.T_world_cam, views[0].T_world_cam, atol=1e-4) for view in views[1:])
    spread_m = float(np.linalg.norm(np.where(known, offsets - mean, 0.0), axis=1).max()) if moved else None
    return CellCheck(frames, mean, spread_m, tolerated_m)


def tolerated_error_m(
    grasps: Sequence[Grasp],
    poses: Sequence[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    gripper: GripperConfig,
    cone_rad: float,
) -> float:
    """Median over the grasps of the largest displacement in any direction of the hand for which they hold.

    Without a grasp of the parallel hand, it is the gap between part and finger.
    """
    steps = np.arange(STEP_M, FARTHEST_M + STEP_M / 2, STEP_M)
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    shifts = (steps[:, None, None] * directions).reshape(-1, 3)
    found = []
    for grasp in grasps:
        if grasp.tool == TOOLS[PARALLEL]:
            part = objects[grasp.object_id]
            T_hand_obj = np.tile(inverse(grasp.T_cam_hand) @ poses[grasp.pose_index].T_cam_obj, (1, len(shifts), 1, 1))
            T_hand_obj[0, :, :3, 3] += shifts
            points, normals = part.points[:POINTS], part.normals[:POINTS]
            held = holds(T_hand_obj, np.array([grasp.width_m]), points, normals, gripper, cone_rad)
            good = held.reshape(len(steps), len(directions)).all(axis=1)
            found.append(STEP_M * (len(steps) if good.all() else int(good.argmin())))
    return float(np.median(found)) if found else gripper.clearance_m


def _intrusion(
    poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], T_bin_cam: FloatArray, bin_: BinConfig
) -> tuple[float | None, float | None]:
    """How far parts reach below the floor and into the walls; None where none lies in the bin."""
    below, outside = [], []
    half = np.array([bin_.size_x_m, bin_.size_y_m]) / 2
    for pose in poses:
        points = transform(T_bin_cam @ pose.T_cam_obj, objects[pose.object_id].mesh.vertices.astype(np.float64))
        middle = points.mean(axis=0)
        if (np.abs(middle[:2]) < half).all() and middle[2] < bin_.depth_m:
            below.append(max(0.0, -float(points[:, 2].min())))
            low = points[points[:, 2] < bin_.depth_m]
            outside.append(max(0.0, float((np.abs(low[:, :2]) - half).max(initial=0.0))))
    return (max(below), max(outside)) if below else (None, None)
