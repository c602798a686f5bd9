"""Whether a teacher finds a pose again: in the turned and differently lit frame, and in other views of the bin."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.scene.alike_poses import AlikePoses

SAME_POSE = 0.05
"""Mean distance of the surfaces of two poses, in diameters, up to which they are one."""
SAME_PLACE = 0.2
"""Distance of two centres, in diameters of the smaller part, up to which only one of the parts can be there."""

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
        others: Sequence[tuple[FloatArray, Sequence[PoseEstimate]]],
    ) -> FloatArray:
        """(B,) of the views that report a part in the place of each pose, the fraction that report the same pose.

        A view that reports nothing there says nothing: it may not see the part, or may have missed it. NaN where no
        other view says anything.

        Args:
            poses: of one view.
            T_world_cam: (4, 4) of that view.
            others: T_world_cam and reported poses of the bin's other views.
        """
        reported, same = np.zeros(len(poses)), np.zeros(len(poses))
        for T_world_other, found in others:
            T_other_cam = inverse(np.asarray(T_world_other)) @ T_world_cam
            for index, pose in enumerate(poses):
                there = T_other_cam @ pose.T_cam_obj
                has = self._has(found, pose.object_id, there)
                same[index] += has
                reported[index] += has or self._other_part_at(found, pose.object_id, there)
        return np.where(reported > 0, same / np.maximum(reported, 1), np.nan)

    def _other_part_at(self, poses: Sequence[PoseEstimate], object_id: str, T_cam_obj: FloatArray) -> bool:
        """Whether a pose has its centre so near to that of a part that only one of them can be there."""
        center = self._center(object_id, T_cam_obj)
        return any(
            np.linalg.norm(self._center(pose.object_id, pose.T_cam_obj) - center)
            <= SAME_PLACE * min(self.objects[pose.object_id].diameter_m, self.objects[object_id].diameter_m)
            for pose in poses
        )

    def _center(self, object_id: str, T_cam_obj: FloatArray) -> FloatArray:
        return transform(T_cam_obj, self.objects[object_id].center_m[None])[0]

    def find(self, poses: Sequence[PoseEstimate], object_id: str, T_cam_obj: FloatArray) -> int | None:
        """The first of the poses that is the pose (4, 4) of this part; None where there is none."""
        limit_m = SAME_POSE * self.objects[object_id].diameter_m
        same = (
            index
            for index, pose in enumerate(poses)
            if pose.object_id == object_id
            and np.linalg.norm(pose.T_cam_obj[:3, 3] - T_cam_obj[:3, 3]) <= self.objects[object_id].diameter_m
            and self._alike.distance_m(object_id, pose.T_cam_obj, T_cam_obj) <= limit_m
        )
        return next(same, None)

    def _has(self, poses: Sequence[PoseEstimate], object_id: str, T_cam_obj: FloatArray) -> bool:
        return self.find(poses, object_id, T_cam_obj) is not None
