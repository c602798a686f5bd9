"""Whether the arm of a cell can execute a grasp: reach and collisions along its whole path."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from binpose_core.frames.types import Grasp, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.arm import load_arm
from binpose_grasping.cell import cell_boxes
from binpose_grasping.config import PlannerConfig
from binpose_grasping.reach import ReachedPath, reach_paths
from binpose_grasping.refusals import Refusal

PART_FACES = 500
BRANCHES = 3
"""Number of paths that are tried if the first one collides."""


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
        """The path of a grasp, why there is none, or None without an arm."""
        if self._arm is None:
            return None
        before, at, after = (T_base_cam @ T for T in (grasp.T_cam_pregrasp, grasp.T_cam_hand, grasp.T_cam_retreat))
        for most in (1, BRANCHES):
            paths = reach_paths(self._arm, self._config.arm, before, at, after, most)
            if isinstance(paths, Refusal) or self._collision is None:
                return paths if isinstance(paths, Refusal) else paths[0]
            held = self._places.get(grasp.pose_index)
            free = next(
                (p for p in paths[most > 1 :] if not self._collision.collides(p.joints, grasp.width_m, held)), None
            )
            if free is not None:
                return free
        return Refusal.ARM_COLLISION


@lru_cache(maxsize=256)  # meshes are compared by identity
def _shape(mesh: Mesh, make: Any) -> Any:
    return make(mesh)
