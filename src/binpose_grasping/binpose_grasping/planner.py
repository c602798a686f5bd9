"""Plans grasps of the parts in a frame: collision-free, reachable, ranked by the probability that the pick succeeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np

from binpose_core.base.errors import BinposeError, NoDepth, UnknownObject
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Drag, Grasp, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.grasps import SUCTION, TOOLS
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.arm_check import ArmCheck
from binpose_grasping.candidates import within_cone
from binpose_grasping.cell import cell_boxes
from binpose_grasping.config import PlannerConfig
from binpose_grasping.drags import find_drags
from binpose_grasping.obstacles import Obstacles, observed_points
from binpose_grasping.part_grasps import PartGrasps, part_grasps
from binpose_grasping.pose_samples import sampled_hypotheses
from binpose_grasping.ranking import RankedCandidates, ranked, reach_factor
from binpose_grasping.reach import ReachedPath
from binpose_grasping.refusals import Refusal
from binpose_grasping.surroundings import Surroundings

NO_POSE = "There was no pose to grasp at."


@dataclass(frozen=True, eq=False)
class RefusedGrasp:
    """A grasp that is not offered, and why."""

    grasp: Grasp
    reason: Refusal


@dataclass(frozen=True, eq=False)
class GraspPlan:
    """A frame's grasps, best first.

    grasps: that can be executed.
    reason: a sentence if there are none, else empty.
    refused: number of refused grasps by reason.
    best_refused: the best of them by its quality, for display.
    drags: if there is no probable grasp: motions that may free parts, at most one for each, by descending probability
        of the pose.
    """

    grasps: tuple[Grasp, ...]
    reason: str = ""
    refused: Mapping[Refusal, int] = field(default_factory=dict)
    best_refused: RefusedGrasp | None = None
    drags: tuple[Drag, ...] = ()


class GraspPlanner:
    """`planner(frame, poses)` -> grasps.

    Args:
        objects: the parts by id, with their grasps. Those of parts without are searched here (about a second each).
        config: all settings.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: PlannerConfig | None = None) -> None:
        self.config = config or PlannerConfig()
        self._objects = objects
        self._arm = ArmCheck(objects, self.config)
        self._grasps: dict[str, PartGrasps] = {name: part_grasps(part, self.config) for name, part in objects.items()}

    def __call__(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> list[Grasp]:
        """The grasps of a frame, best first.

        Args:
            frame: with depth.
            poses: of parts among `objects`.

        Raises:
            BinposeError: for a frame without depth, or a pose of another part.
        """
        return list(self.plan(frame, poses).grasps)

    def plan(self, frame: RgbdFrame, poses: Sequence[PoseEstimate], T_base_cam: FloatArray | None = None) -> GraspPlan:
        """Like a call, with the reasons of all refused grasps.

        Args:
            frame: with depth.
            poses: of parts among `objects`.
            T_base_cam: (4, 4) of the camera in the frame of the arm's base; by default that of the configuration.
        """
        self._check(frame, poses)
        T_base_cam = self.config.cell.camera.matrix if T_base_cam is None else np.asarray(T_base_cam, np.float64)
        planner = copy(self)
        planner.config = self.config.in_camera(T_base_cam)
        plan = planner._in_cones(frame, poses, T_base_cam)
        if max((grasp.score for grasp in plan.grasps), default=0.0) >= self.config.drag.below and plan.grasps:
            return plan
        return replace(plan, drags=tuple(planner._drags(frame, poses, T_base_cam)))

    def _in_cones(self, frame: RgbdFrame, poses: Sequence[PoseEstimate], T_base_cam: FloatArray) -> GraspPlan:
        """Plan within the cone of approach, and within the widest one where nothing is free in it."""
        plan, config = self._plan(frame, poses, T_base_cam), self.config
        if plan.grasps or not plan.refused or config.widest_cone_rad <= config.cone_rad:
            return plan
        planner = copy(self)
        planner.config = replace(config, cone_rad=config.widest_cone_rad)
        return planner._plan(frame, poses, T_base_cam)

    def _drags(self, frame: RgbdFrame, poses: Sequence[PoseEstimate], T_base_cam: FloatArray) -> list[Drag]:
        """Drags of the probable poses; their indices are those of `poses`."""
        config, (sure, _) = self.config, self._distinct(poses)
        if not sure or not config.cell.bin.size_x_m or config.tool == TOOLS[SUCTION]:
            return []
        assert frame.depth_m is not None
        seen = observed_points(frame.depth_m, frame.camera, config.grid_m)
        known = [poses[index] for index in sure]
        found = find_drags(known, self._objects, config.cell.bin, T_base_cam, config.gripper, seen, config.drag)
        return [replace(drag, pose_index=sure[drag.pose_index]) for drag in found]

    def _plan(self, frame: RgbdFrame, poses: Sequence[PoseEstimate], T_base_cam: FloatArray) -> GraspPlan:
        """Plan with a direction of approach in the camera frame."""
        sure, further = self._distinct(poses)
        if not sure:
            lowest = f"No pose reached the probability of {self.config.min_probability:g} to be grasped at."
            return GraspPlan((), lowest if poses else NO_POSE)
        if missing := self._missing([poses[index] for index in sure]):
            return GraspPlan((), missing)
        found = self._ranked(frame, poses, sure, further, T_base_cam)
        self._arm.set_scene(T_base_cam, [poses[index] for index in sure], sure)
        grasps, refused, best_refused = self._reachable(found, poses, T_base_cam)
        reason = "" if grasps else _sentence(refused, self.config)
        return GraspPlan(tuple(grasps), reason, dict(refused), best_refused)

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
        if bad := [number for number, pose in enumerate(poses) if not np.isfinite(pose.T_cam_obj).all()]:
            raise BinposeError(f"Pose {bad[0]} is not finite; expected rigid motions; leave it out.")

    def _distinct(self, poses: Sequence[PoseEstimate]) -> tuple[list[int], dict[int, list[Hypothesis]]]:
        """Indices of the probable poses of different parts, and the further poses of each of these parts."""
        order = sorted(range(len(poses)), key=lambda index: -poses[index].score)
        chosen: list[int] = []
        further: dict[int, list[Hypothesis]] = {}
        for index in order:
            pose, part = poses[index], self._objects[poses[index].object_id]
            if pose.score < self.config.min_probability:
                continue
            same = [other for other in chosen if self._is_same(pose, part, poses[other])]
            if same:
                further.setdefault(same[0], []).append(Hypothesis(pose.object_id, pose.T_cam_obj, pose.score))
            else:
                chosen.append(index)
        return sorted(chosen), further

    def _is_same(self, pose: PoseEstimate, part: ObjectModel, other: PoseEstimate) -> bool:
        theirs = self._objects[other.object_id]
        distance_m = np.linalg.norm(part.center_in(pose.T_cam_obj) - theirs.center_in(other.T_cam_obj))
        return bool(distance_m < self.config.same_part * min(part.diameter_m, theirs.diameter_m))

    def _missing(self, poses: Sequence[PoseEstimate]) -> str:
        """Why no part among the poses has a grasp; empty if one has."""
        if any(len(self._grasps[pose.object_id].grasps) for pose in poses):
            return ""
        reasons = dict.fromkeys(self._grasps[pose.object_id].missing for pose in poses)
        return "No part found has a grasp that the gripper can hold it by: " + " ".join(reasons)

    def _ranked(
        self,
        frame: RgbdFrame,
        poses: Sequence[PoseEstimate],
        sure: Sequence[int],
        further: Mapping[int, Sequence[Hypothesis]],
        T_base_cam: FloatArray,
    ) -> list[RankedCandidates]:
        """The free candidates of each pose with the factors of their scores."""
        config, known = self.config, [poses[index] for index in sure]
        reach_m = config.gripper.reach_m + config.pregrasp_m
        obstacles = Obstacles(frame, known, self._objects, config.own_m, config.grid_m, reach_m)
        boxes = cell_boxes(config.cell, T_base_cam)
        around = Surroundings(config, known, self._objects, obstacles, boxes, T_base_cam)
        found = []
        for place, index in enumerate(sure):
            pose = poses[index]
            candidates = around.allowed(place, within_cone(index, pose, self._grasps[pose.object_id], config))
            hypotheses = sampled_hypotheses(pose, further.get(index, ()), self._objects, config.ranking)
            found.append(ranked(candidates, pose, hypotheses, self._objects, around, place, config))
        return found

    def _reachable(
        self, found: Sequence[RankedCandidates], poses: Sequence[PoseEstimate], T_base_cam: FloatArray
    ) -> tuple[list[Grasp], Counter[Refusal], RefusedGrasp | None]:
        """The best grasps that the arm reaches, best first; all others are counted."""
        config, best = self.config, self._best_refused(found, poses)
        refused = sum((entry.found.refused for entry in found), Counter[Refusal]())
        queue = [(-score, k, n) for k, entry in enumerate(found) for n, score in enumerate(entry.factors.score)]
        grasps: list[Grasp] = []
        taken: Counter[int] = Counter()
        for _, k, n in sorted(queue):
            if len(grasps) >= config.most or taken[k] >= config.per_part:
                refused[Refusal.NOT_TRIED] += 1
                continue
            entry = found[k].found
            width_m, tool = float(entry.width_m[n]), int(entry.tool[n])
            grasp = self._grasp(poses, entry.index, entry.T_cam_hand[n], width_m, tool, found[k].factors.of(n))
            path = self._arm.path(grasp, T_base_cam)
            if isinstance(path, Refusal):
                refused[path] += 1
                if best is None or best.reason not in ARM_REASONS or grasp.score > best.grasp.score:
                    best = RefusedGrasp(grasp, path)
            else:
                taken[k] += 1
                grasps.append(self._with_path(grasp, path))
        return sorted(grasps, key=lambda grasp: -grasp.score), refused, best

    def _best_refused(self, found: Sequence[RankedCandidates], poses: Sequence[PoseEstimate]) -> RefusedGrasp | None:
        """The refused candidate with the highest product of pose probability and quality."""
        chosen: RefusedGrasp | None = None
        for entry in found:
            one = entry.found.best_refused
            if one is not None:
                index = entry.found.index
                values = {"hold": poses[index].score, "quality": one.relative}
                grasp = self._grasp(poses, index, one.T_cam_hand, one.width_m, one.tool, values)
                if chosen is None or grasp.score > chosen.grasp.score:
                    chosen = RefusedGrasp(grasp, one.reason)
        return chosen

    def _grasp(
        self,
        poses: Sequence[PoseEstimate],
        index: int,
        T_cam_hand: FloatArray,
        width_m: float,
        tool: int,
        values: Mapping[str, float],
    ) -> Grasp:
        pose = poses[index]
        return Grasp(
            pose.object_id,
            T_cam_hand,
            width_m,
            float(np.prod(list(values.values()))),
            _moved(T_cam_hand, -self.config.pregrasp_m * T_cam_hand[:3, 2]),
            _moved(T_cam_hand, -self.config.retreat_m * self.config.down.unit),
            index,
            TOOLS[tool],
            factors=dict(values),
            pose=Hypothesis(pose.object_id, pose.T_cam_obj, pose.score),
        )

    def _with_path(self, grasp: Grasp, path: ReachedPath | None) -> Grasp:
        if path is None:
            return grasp
        reach = reach_factor(path.margin, self.config.ranking)
        return replace(
            grasp.turned(path.turn_rad),
            score=grasp.score * reach,
            joints=path.joints,
            grasp_waypoint=path.grasp_waypoint,
            factors={**grasp.factors, "reach": reach},
        )


ARM_REASONS = (Refusal.OUT_OF_REACH, Refusal.SINGULAR, Refusal.PATH, Refusal.ARM_COLLISION)


def _sentence(refused: Mapping[Refusal, int], config: PlannerConfig) -> str:
    """Why no grasp is left: the reasons by their frequency."""
    counted = sorted(((count, reason) for reason, count in refused.items() if count), key=lambda entry: -entry[0])
    if [reason for _, reason in counted] == [Refusal.DIRECTION]:
        return f"No grasp comes from within {config.cone_rad:g} rad of the direction of approach."
    listed = "; ".join(f"{count} because {reason.value} ({reason.code})" for count, reason in counted)
    return f"Every grasp was refused: {listed}."


def _moved(T: FloatArray, by_m: FloatArray) -> FloatArray:
    moved = T.copy()
    moved[:3, 3] += by_m
    return moved
