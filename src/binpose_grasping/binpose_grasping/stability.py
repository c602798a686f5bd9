"""Keeps the best grasp from frame to frame, so that a robot that has begun to move is not sent elsewhere by noise."""

from collections.abc import Sequence

import numpy as np

from binpose_core.frames.types import Grasp
from binpose_core.geometry.transforms import FloatArray, rotation_angle_rad

NEAR_M, NEAR_RAD = 0.01, 0.3


class GraspMemory:
    """Remembers the best grasp of the frame before; all frames must have one reference frame that does not move."""

    def __init__(self) -> None:
        self._best: tuple[str, str, FloatArray] | None = None

    def best_kept(self, grasps: Sequence[Grasp], fraction: float) -> list[Grasp]:
        """The grasps with the one from before first, unless another one is better by more than a fraction.

        Args:
            grasps: best first, poses in the reference frame.
            fraction: of the score that another one must be better by; 0 keeps the order.
        """
        if not grasps:
            return []
        kept = next((n for n, grasp in enumerate(grasps) if self._is_known(grasp)), 0)
        if grasps[kept].score < (1 - fraction) * grasps[0].score or fraction == 0:
            kept = 0
        ordered = [grasps[kept], *grasps[:kept], *grasps[kept + 1 :]]
        self._best = (ordered[0].object_id, ordered[0].tool, ordered[0].T_cam_hand)
        return ordered

    def forget(self) -> None:
        """Forget the grasp, as after a pick."""
        self._best = None

    def _is_known(self, grasp: Grasp) -> bool:
        if self._best is None:
            return False
        object_id, tool, T = self._best
        near = np.linalg.norm(T[:3, 3] - grasp.T_cam_hand[:3, 3]) < NEAR_M
        turned = float(rotation_angle_rad(T[:3, :3], grasp.T_cam_hand[:3, :3]))
        return (grasp.object_id, grasp.tool) == (object_id, tool) and bool(near) and turned < NEAR_RAD
