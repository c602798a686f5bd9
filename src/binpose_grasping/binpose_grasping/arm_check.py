"""Whether the arm of a cell can execute a grasp: reach and collisions along its whole path."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from binpose_core.frames.types import Grasp, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.grasps import PARALLEL, SUCTION, TOOLS
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.arm import load_arm
from binpose_grasping.cell import cell_boxes
from binpose_grasping.config import PlannerConfig
from binpose_grasping.reach import ReachedPath, reach_paths
from binpose_grasping.refusals import Refusal

PART_FACES = 500
BRANCHES = 3
"""Number of paths per turn of the hand that are tried if the first one collides."""
TURNS_RAD = {TOOLS[PARALLEL]: (0.0, np.pi), TOOLS[SUCTION]: tuple(np.arange(8) * np.pi / 4)}
"""Turns of the hand about its approach that do not change the grasp."""
ORDER = (Refusal.OUT_OF_REACH, Refusal.SINGULAR, Refusal.PATH)
"""Refusals from the earliest to the latest check."""


class ArmCheck:
    """The arm of the configuration, or none.

    Args:
        objects: the parts by id.
        config: of the planner.

    Raises:
        BinposeError: for an arm that is not known or whose library is missing.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: PlannerConfig) -> None:
        self._config, self._objects = config, objects
        self._arm = load_arm(config.arm)
        self._collision: Any = None
        self._places: dict[int, int] = {}
        if self._arm is not None and config.arm.collisions:
            from binpose_grasping.arm_collision import ArmCollision

            self._collision = ArmCollision(config.arm, config.gripper)

    def set_scene(self, T_base_cam: FloatArray, poses: Sequence[PoseEstimate], indices: Sequence[int]) -> None:
        """Use the bin, the camera and the found parts of a frame.

        Args:
            T_base_cam: (4, 4) of the camera.
            poses: of the parts.
            indices: `pose_index` of the grasps of each of them.
        """
        self._places = {index: place for place, index in enumerate(indices)}
        if self._collision is None:
            return
        from binpose_grasping.arm_collision import mesh_shape

        shapes = [_shape(self._objects[pose.object_id].lod(PART_FACES), mesh_shape) for pose in poses]
        self._collision.set_obstacles(
            cell_boxes(self._config.cell, T_base_cam), shapes, [T_base_cam @ pose.T_cam_obj for pose in poses]
        )

    def path(self, grasp: Grasp, T_base_cam: FloatArray) -> ReachedPath | Refusal | None:
        """The path of a grasp, why there is none, or None without an arm.

        The hand may be turned about its approach by what does not change the grasp; the path with the largest margin to
        the joint limits is preferred.
        """
        if self._arm is None:
            return None
        held, refusal = self._places.get(grasp.pose_index), Refusal.OUT_OF_REACH
        for most in (1, BRANCHES):
            found: list[ReachedPath] = []
            for turn_rad in TURNS_RAD[grasp.tool]:
                paths = self._kinematic(grasp, T_base_cam, turn_rad, most)
                if isinstance(paths, Refusal):
                    refusal = max(refusal, paths, key=ORDER.index)
                else:
                    found += paths[most > 1 :]  # the first ones are known to collide
            found.sort(key=lambda path: -path.margin)
            if not found and most == 1:
                return refusal
            for path in found:
                if self._collision is None or not self._collision.collides(path.joints, grasp.width_m, held):
                    return path
        return Refusal.ARM_COLLISION

    def _kinematic(
        self, grasp: Grasp, T_base_cam: FloatArray, turn_rad: float, most: int
    ) -> list[ReachedPath] | Refusal:
        """Paths of a grasp whose hand is turned about its approach, without collision checks."""
        assert self._arm is not None
        turned = grasp.turned(turn_rad)
        before, at = T_base_cam @ turned.T_cam_pregrasp, T_base_cam @ turned.T_cam_hand
        paths = reach_paths(self._arm, self._config.arm, before, at, T_base_cam @ turned.T_cam_retreat, most)
        return paths if isinstance(paths, Refusal) else [replace(path, turn_rad=turn_rad) for path in paths]


@lru_cache(maxsize=256)  # meshes are compared by identity
def _shape(mesh: Mesh, make: Any) -> Any:
    return make(mesh)
