"""Agreement between views: a pose that another view of the same resting bin contradicts does not count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_pipeline.scene.view_agreement import ViewMeasurer
from binpose_pipeline.scene.view_check import ViewCheckConfig
from binpose_self_training.gate.judge import JudgedPose


@dataclass(frozen=True, eq=False)
class OtherView:
    """Another frame of the same bin. T_other_cam: (4, 4) from the camera of the judged frame to that of this one."""

    frame: RgbdFrame
    T_other_cam: FloatArray


ViewsOf = Callable[[str], Sequence[OtherView]]
"""The other views of the bin that a named frame shows; empty where none is known."""


def no_views(name: str) -> Sequence[OtherView]:
    """No other view."""
    return ()


def other_views(view: CameraView, others: Sequence[CameraView]) -> list[OtherView]:
    """Other views relative to one, from their poses in the world."""
    return [OtherView(other.frame, inverse(other.T_world_cam) @ view.T_world_cam) for other in others]


def across_views(
    judged: Sequence[JudgedPose],
    views: Sequence[OtherView],
    measurer: ViewMeasurer,
    config: ViewCheckConfig | None = None,
) -> list[JudgedPose]:
    """The poses with the least agreement of all views that show enough of them.

    Args:
        judged: poses in the camera of one frame.
        views: other frames of the same bin.
        measurer: predicts what a view shows of a pose.
        config: how much of a part a view must show, and the agreement below which it contradicts a pose.
    """
    c, found = config or ViewCheckConfig(), list(judged)
    names = [one.pose.object_id for one in found]
    T_cam_obj = np.reshape([one.pose.T_cam_obj for one in found], (-1, 4, 4))
    for view in views:
        for i, shown in enumerate(measurer.predict(view.frame, names, view.T_other_cam @ T_cam_obj)):
            if shown.visible >= c.seen:
                one = found[i]
                least = float(np.fmin(one.agreement, shown.agreement))
                found[i] = replace(one, agreement=least, verified=one.verified and shown.agreement >= c.agrees)
    return found
