"""Whether a teacher finds a pose again: in the turned and differently lit frame, and in other views of the bin."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.scene.alike_poses import AlikePoses
from binpose_refinement.consistency import depth_agreement
from binpose_refinement.hypothesis_batch import PartRenderer

SAME_POSE = 0.05
"""Mean distance of the surfaces of two poses, in diameters, up to which they are one."""
SEEN = 0.5
"""Least fraction of the visible surface with agreeing depth with which another view sees a part."""
FACES = 1000

Poses = Callable[[RgbdFrame], Sequence[PoseEstimate]]


@dataclass(frozen=True)
class TestTimeView:
    """A change of a frame that changes no part.

    quarter_turns: of the image about the optical axis, counterclockwise.
    gamma: exponent of the brightness.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    quarter_turns: int = 2
    gamma: float = 1.0

    def of(self, frame: RgbdFrame) -> RgbdFrame:
        """The changed frame."""
        k = self.quarter_turns % 4
        color = 255.0 * (frame.color / 255.0) ** self.gamma
        depth = None if frame.depth_m is None else np.ascontiguousarray(np.rot90(frame.depth_m, k))
        turned = np.ascontiguousarray(np.rot90(color.round().astype(np.uint8), k))
        return replace(frame, color=turned, depth_m=depth, camera=turned_camera(frame.camera, k))

    @property
    def T_turned_cam(self) -> FloatArray:
        """(4, 4) from the camera's frame to that of the turned camera."""
        turn = np.eye(4)
        turn[:3, :3] = np.linalg.matrix_power(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), self.quarter_turns % 4)
        return turn


def turned_camera(camera: Camera, quarter_turns: int) -> Camera:
    """The camera of an image that `numpy.rot90` has turned."""
    for _ in range(quarter_turns % 4):
        camera = Camera(camera.fy, camera.fx, camera.cy, camera.width - 1 - camera.cx, camera.height, camera.width)
    return camera


class Repetition:
    """Compares the poses of a frame with those of other views.

    Args:
        objects: the parts by id.
    """

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self.objects, self._alike = objects, AlikePoses(objects)
        self._renderer = PartRenderer(objects, (FACES,))

    def returned(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], views: Sequence[TestTimeView], estimate: Poses
    ) -> FloatArray:
        """(B,) fraction of the test-time views in which each pose is found again; NaN without views.

        Args:
            frame: that the poses belong to.
            poses: of the frame.
            views: changes of the frame.
            estimate: the teacher: a frame -> the poses that it reports.
        """
        if not views:
            return np.full(len(poses), np.nan)
        found = np.zeros(len(poses))
        for view in views:
            again = estimate(view.of(frame))
            found += [self._has(again, pose.object_id, view.T_turned_cam @ pose.T_cam_obj) for pose in poses]
        return np.asarray(found / len(views))

    def in_other_views(
        self,
        poses: Sequence[PoseEstimate],
        T_world_cam: FloatArray,
        others: Sequence[tuple[RgbdFrame, FloatArray, Sequence[PoseEstimate]]],
    ) -> FloatArray:
        """(B,) fraction of the views that see each part which report the same pose; NaN where no other view sees it.

        Args:
            poses: of one view.
            T_world_cam: (4, 4) of that view.
            others: frame, T_world_cam and reported poses of the bin's other views.
        """
        seen, same = np.zeros(len(poses)), np.zeros(len(poses))
        for frame, T_world_other, reported in others:
            T_other_cam = inverse(np.asarray(T_world_other)) @ T_world_cam
            moved = [replace(pose, T_cam_obj=T_other_cam @ pose.T_cam_obj) for pose in poses]
            visible = np.nan_to_num(depth_agreement(frame, moved, self._renderer)) >= SEEN
            has = np.array([self._has(reported, pose.object_id, pose.T_cam_obj) for pose in moved], bool)
            seen, same = seen + (visible | has), same + has
        return np.where(seen > 0, same / np.maximum(seen, 1), np.nan)

    def _has(self, poses: Sequence[PoseEstimate], object_id: str, T_cam_obj: FloatArray) -> bool:
        limit_m = SAME_POSE * self.objects[object_id].diameter_m
        return any(
            pose.object_id == object_id
            and np.linalg.norm(pose.T_cam_obj[:3, 3] - T_cam_obj[:3, 3]) <= self.objects[object_id].diameter_m
            and self._alike.distance_m(object_id, pose.T_cam_obj, T_cam_obj) <= limit_m
            for pose in poses
        )
