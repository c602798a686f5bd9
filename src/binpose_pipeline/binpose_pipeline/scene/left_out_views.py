"""Poses of views that are used alone, in the world beside the joint ones.

Where views contradict each other, a part that one of them reports is not lost: it is left out only where a view that
is relied on measures free space at its place, or holds another part there.
"""

from collections.abc import Callable, Sequence

import numpy as np

from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_pipeline.scene.alike_poses import in_camera, moved_covariance
from binpose_pipeline.scene.view_agreement import ViewMeasurer
from binpose_pipeline.scene.view_check import ViewCheckConfig
from binpose_pipeline.scene.view_fusion import SceneAlternative, ScenePose

Excludes = Callable[[ScenePose, ScenePose], bool]
"""Whether two poses cannot both be right."""


def with_left_out(
    joint: Sequence[ScenePose],
    views: Sequence[CameraView],
    poses: Sequence[Sequence[PoseEstimate]],
    relied_on: Sequence[int],
    measurer: ViewMeasurer,
    excludes: Excludes,
    config: ViewCheckConfig,
) -> list[ScenePose]:
    """The joint poses and those of the views that are not relied on, best score first.

    Args:
        joint: of the views that are relied on.
        views: all, with the camera poses that the joint poses were made with.
        poses: of each view alone, in its camera.
        relied_on: indices of views.
        measurer: predicts what a view shows of a pose.
        excludes: compares two poses.
        config: when a part is missing in a view.
    """
    accepted = list(joint)
    for number in (v for v in range(len(views)) if v not in relied_on):
        verified = [pose for pose in poses[number] if pose.score > 0]
        found = alone_in_world(views[number], verified, number)
        seen_free = _seen_free(found, [views[v] for v in relied_on], measurer, config)
        for pose, is_free in zip(found, seen_free, strict=True):
            if not is_free and not any(excludes(pose, other) for other in accepted):
                accepted.append(pose)
    return sorted(accepted, key=lambda pose: -pose.score)


def alone_in_world(view: CameraView, poses: Sequence[PoseEstimate], number: int) -> list[ScenePose]:
    """The poses of one view in the world."""
    return [_in_world(pose, view.T_world_cam, number) for pose in poses]


def _seen_free(
    poses: Sequence[ScenePose], views: Sequence[CameraView], measurer: ViewMeasurer, config: ViewCheckConfig
) -> list[bool]:
    """Whether one of the views measures free space where a pose should be seen."""
    names = [pose.object_id for pose in poses]
    T_world_obj: FloatArray = np.reshape([pose.T_world_obj for pose in poses], (-1, 4, 4))
    free = np.zeros(len(poses), np.bool_)
    for view in views:
        shown = measurer.predict(view.frame, names, in_camera(view.T_world_cam, T_world_obj))
        free |= np.array([p.visible >= config.seen and p.agreement < config.free for p in shown], np.bool_)
    return [bool(value) for value in free]


def _in_world(pose: PoseEstimate, T_world_cam: FloatArray, number: int) -> ScenePose:
    covariance = None if pose.covariance is None else moved_covariance(pose.covariance, T_world_cam)
    return ScenePose(
        pose.object_id,
        T_world_cam @ pose.T_cam_obj,
        pose.score,
        covariance,
        (number,),
        residuals=pose.residuals,
        alternatives=tuple(
            SceneAlternative(other.object_id, T_world_cam @ other.T_cam_obj, other.score)
            for other in pose.hypotheses[1:]
        ),
    )
