"""What stands around the parts of a frame: refuses grasps in whose path something is."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.grasps import PARALLEL, SUCTION
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.candidates import GraspCandidates, joined_candidates
from binpose_grasping.cell import Boxes
from binpose_grasping.config import PlannerConfig
from binpose_grasping.gripper import finger_points, grown, hand_boxes, swept_boxes
from binpose_grasping.inside import count_inside
from binpose_grasping.obstacles import Obstacles
from binpose_grasping.overlaps import boxes_touch_boxes, boxes_touch_mesh
from binpose_grasping.refusals import Refusal
from binpose_grasping.suction import tool_boxes

NEIGHBOUR_FACES = 1000
AT_ONCE = 400
"""Number of hands per collision check with observed points."""


class Surroundings:
    """Refuses grasps in whose path something stands.

    Args:
        config: of the planner.
        poses: of all parts that are obstacles.
        objects: the parts by id.
        obstacles: observed points and surfaces of these parts.
        boxes: of the cell.
        T_base_cam: (4, 4) of the camera.
    """

    def __init__(
        self,
        config: PlannerConfig,
        poses: Sequence[PoseEstimate],
        objects: Mapping[str, ObjectModel],
        obstacles: Obstacles,
        boxes: Boxes,
        T_base_cam: FloatArray,
    ) -> None:
        self._config, self._poses, self._objects = config, poses, objects
        self._obstacles, self._half_m = obstacles, boxes.half_m
        self._covered: dict[int, float] = {}
        self._T_cam_box = inverse(T_base_cam) @ boxes.T_base_box

    def allowed(self, place: int, found: GraspCandidates) -> GraspCandidates:
        """The candidates whose hand and path are free; `place` is that of their pose among the obstacles' poses.

        They are checked in portions, best first, until enough are free; what refuses most at least cost comes first.
        """
        enough = self._config.enough
        found = self._uncovered(place, found)
        checked, free = [found.without_any()], 0
        for start in range(0, len(found), AT_ONCE):
            some = found.take(slice(start, start + AT_ONCE))
            if free < enough:
                some = self._clear_of_observed(place, self._clear_of_cell(some))
            checked.append(some.without_any())
            for first in range(0, len(some), 2 * enough):
                few = some.take(slice(first, first + 2 * enough))
                if free >= enough:
                    few = few.keep(np.zeros(len(few), np.bool_), Refusal.NOT_TRIED)
                checked.append(self._clear_of_parts(place, self._clear_of_hidden(place, few)))
                free += len(checked[-1])
        return joined_candidates(checked)

    def covered(self, place: int) -> float:
        """Fraction of a part that others cover, seen against the direction of approach."""
        if place not in self._covered:
            self._covered[place] = self._obstacles.covered(place, -self._config.down.unit)
        return self._covered[place]

    def nearby(self, place: int) -> FloatArray:
        """(N, 3) points of everything but the part that the hand can reach from there, camera frame."""
        return np.concatenate([self._obstacles.observed(place), self._obstacles.other_parts(place)])

    def unseen(self, found: GraspCandidates) -> FloatArray:
        """(N,) fraction of each hand's fingers of which the camera does not see whether their place is free."""
        fingers = transform(found.T_cam_hand, finger_points(self._config.gripper, found.width_m))
        return np.asarray(self._obstacles.unseen(fingers).mean(axis=1))

    def boxes_of(self, found: GraspCandidates, swept: bool = True) -> tuple[FloatArray, FloatArray]:
        """The path of each hand as boxes in its frame (N, B, 3); swept: with the space between the fingers."""
        config = self._config
        low, high = (swept_boxes if swept else hand_boxes)(config.gripper, found.width_m, config.pregrasp_m)
        cups = found.tool == SUCTION
        if cups.any():
            few = tool_boxes(config.suction, int(cups.sum()), config.pregrasp_m)
            for corners, own in ((low, few[0]), (high, few[1])):
                corners[cups, :2], corners[cups, 2:] = own, own[:, 1:]
        return low, high

    def _clear_of_cell(self, found: GraspCandidates) -> GraspCandidates:
        if not len(found) or not len(self._half_m):
            return found
        boxes = grown(*self.boxes_of(found, swept=False), self._config.margin_m)
        hit = boxes_touch_boxes(inverse(found.T_cam_hand), *boxes, self._T_cam_box, self._half_m)
        return found.keep(~hit, Refusal.HITS_BIN)

    def _clear_of_observed(self, place: int, found: GraspCandidates) -> GraspCandidates:
        if not len(found):
            return found
        low, high = grown(*self.boxes_of(found), self._config.margin_m)
        T_hand_cam, stray = inverse(found.T_cam_hand), self._config.stray_points
        free = count_inside(T_hand_cam, low, high, self._obstacles.observed_near(place), stray + 1) <= stray
        left = np.flatnonzero(free)  # few
        if len(left):
            every = self._obstacles.observed(place)
            free[left] = count_inside(T_hand_cam[left], low[left], high[left], every, stray + 1) <= stray
        return found.keep(free, Refusal.HITS_OBSERVED)

    def _clear_of_hidden(self, place: int, found: GraspCandidates) -> GraspCandidates:
        if not len(found):
            return found
        fingers = transform(found.T_cam_hand, finger_points(self._config.gripper, found.width_m, self._config.margin_m))
        hidden = self._obstacles.hidden(place, fingers).sum(axis=1) > self._config.stray_points
        hidden |= self._obstacles.unseen(fingers).mean(axis=1) > self._config.ranking.most_unseen
        return found.keep(~hidden | (found.tool != PARALLEL), Refusal.HIDDEN)

    def _clear_of_parts(self, place: int, found: GraspCandidates) -> GraspCandidates:
        """First by surface points, which refuse most, then by all triangles of the neighbours."""
        if not len(found):
            return found
        low, high = grown(*self.boxes_of(found), self._config.margin_m)
        T_hand_cam = inverse(found.T_cam_hand)
        hit = count_inside(T_hand_cam, low, high, self._obstacles.other_parts(place)) > 0
        for number in self._obstacles.near(place):
            left = np.flatnonzero(~hit)
            if len(left):
                T_hand_mesh = T_hand_cam[left] @ self._poses[number].T_cam_obj
                corners = triangles(self._objects[self._poses[number].object_id].lod(NEIGHBOUR_FACES))
                hit[left] = boxes_touch_mesh(T_hand_mesh, low[left], high[left], corners)
        return found.keep(~hit, Refusal.HITS_PART)

    def _uncovered(self, place: int, found: GraspCandidates) -> GraspCandidates:
        if not len(found):
            return found
        free = self.covered(place) <= self._config.ranking.most_covered
        return found.keep(np.full(len(found), free), Refusal.COVERED)


@lru_cache(maxsize=256)  # meshes are compared by identity
def triangles(mesh: Mesh) -> FloatArray:
    """(F, 3, 3) float64 corners of a mesh's triangles."""
    return mesh.vertices.astype(np.float64)[mesh.faces]
