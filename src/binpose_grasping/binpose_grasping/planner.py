"""Plans collision-free grasps of the parts in a frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import NoDepth, UnknownObject
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Grasp, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import PartGrasps, antipodal_grasps
from binpose_grasping.config import PlannerConfig
from binpose_grasping.gripper import finger_points, swept_boxes
from binpose_grasping.inside import count_inside
from binpose_grasping.obstacles import Obstacles

NO_POSE = "There was no pose to grasp at."


@dataclass(frozen=True, eq=False)
class GraspPlan:
    """A frame's grasps, best first, and the reason if there are none (else an empty text)."""

    grasps: tuple[Grasp, ...]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Reached:
    """N grasps of one pose in the camera frame with an allowed approach, best first."""

    T_cam_hand: FloatArray
    width_m: FloatArray
    score: FloatArray


class GraspPlanner:
    """`planner(frame, poses)` -> grasps.

    Args:
        objects: the parts by id; their grasps are computed here (tenths of a second each, the first time).
        config: all settings.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: PlannerConfig | None = None) -> None:
        self.config = config or PlannerConfig()
        self._objects = objects
        self._grasps: dict[str, PartGrasps] = {
            name: antipodal_grasps(part, self.config.gripper, self.config.antipodal) for name, part in objects.items()
        }

    def __call__(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> list[Grasp]:
        """The grasps of a frame, best first: by the grasp's score times the pose's probability.

        Args:
            frame: with depth.
            poses: of parts among `objects`.

        Raises:
            BinposeError: for a frame without depth, or a pose of another part.
        """
        return list(self.plan(frame, poses).grasps)

    def plan(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> GraspPlan:
        """Like a call, with the reason if there is no grasp."""
        self._check(frame, poses)
        sure = [index for index, pose in enumerate(poses) if pose.score >= self.config.min_probability]
        if not sure:
            lowest = f"No pose reached the probability of {self.config.min_probability:g} to be grasped at."
            return GraspPlan((), lowest if poses else NO_POSE)
        if not any(len(self._grasps[poses[index].object_id]) for index in sure):
            return GraspPlan((), "No part found has a grasp that the gripper can hold it by.")
        reached = {index: self._reached(poses[index]) for index in sure}
        if not any(len(found.score) for found in reached.values()):
            return GraspPlan((), f"No grasp comes from within {self.config.cone_rad:g} rad of the way down.")
        obstacles = Obstacles(
            frame, [poses[index] for index in sure], self._objects, self.config.own_m, self.config.grid_m
        )
        grasps = [
            self._grasp(index, poses[index], found, number)
            for place, (index, found) in enumerate(reached.items())
            for number in self._free(place, poses[index], found, obstacles)
        ]
        grasps.sort(key=lambda grasp: -grasp.score)
        return GraspPlan(tuple(grasps), "" if grasps else "Something stands in the way of every grasp that was tried.")

    def _check(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> None:
        if frame.depth_m is None:
            raise NoDepth(
                f"Frame {frame.name!r} has no depth; expected the depth that the poses were found in.", frame.name
            )
        if unknown := {pose.object_id for pose in poses} - set(self._objects):
            raise UnknownObject(
                f"Poses of {', '.join(sorted(unknown))}; expected some of {', '.join(self._objects)}; give the planner "
                "the model that estimated the poses.",
                sorted(unknown),
                self._objects,
            )

    def _reached(self, pose: PoseEstimate) -> _Reached:
        """The grasps within the cone, by descending score, then by steepness."""
        grasps, config = self._grasps[pose.object_id], self.config
        approach = grasps.T_obj_hand[:, :3, 2] @ pose.T_cam_obj[:3, :3].T
        angle_rad = np.arccos(np.clip(approach @ config.down.unit, -1, 1))
        within = np.flatnonzero(angle_rad <= config.cone_rad)
        chosen = within[np.lexsort((angle_rad[within], -grasps.score[within]))][: config.tries]
        T_cam_hand = pose.T_cam_obj @ grasps.T_obj_hand[chosen]
        return _Reached(T_cam_hand, grasps.width_m[chosen], grasps.score[chosen])

    def _free(self, place: int, pose: PoseEstimate, found: _Reached, obstacles: Obstacles) -> npt.NDArray[np.intp]:
        """The first grasps, at most `per_part`, without a collision along the hand's path."""
        config, part = self.config, self._objects[pose.object_id]
        low, high = swept_boxes(config.gripper, found.width_m, config.pregrasp_m)
        low, high = low - config.margin_m, high + config.margin_m
        T_hand_cam = inverse(found.T_cam_hand)
        reach_m = config.gripper.reach_m + config.pregrasp_m + part.diameter_m
        stray, observed = config.stray_points, obstacles.observed(place, reach_m)
        free = np.flatnonzero(count_inside(T_hand_cam, low, high, observed, stray + 1) <= stray)
        fingers = transform(found.T_cam_hand[free], finger_points(config.gripper, found.width_m[free]))
        free = free[obstacles.hidden(place, fingers).sum(axis=1) <= stray]
        others = obstacles.other_parts(place)
        return free[count_inside(T_hand_cam[free], low[free], high[free], others) == 0][: config.per_part]

    def _grasp(self, index: int, pose: PoseEstimate, found: _Reached, number: int) -> Grasp:
        T_cam_hand = found.T_cam_hand[number]
        return Grasp(
            pose.object_id,
            T_cam_hand,
            float(found.width_m[number]),
            float(found.score[number] * pose.score),
            _moved(T_cam_hand, -self.config.pregrasp_m * T_cam_hand[:3, 2]),
            _moved(T_cam_hand, -self.config.retreat_m * self.config.down.unit),
            index,
        )


def _moved(T: FloatArray, by_m: FloatArray) -> FloatArray:
    moved = T.copy()
    moved[:3, 3] += by_m
    return moved
