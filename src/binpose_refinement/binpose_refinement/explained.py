"""Pixels of a frame that poses explain, which a later look leaves out."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_refinement.observation import depth_noise_m

NOISE_FACTOR = 3.0


def explained_pixels(
    frame: RgbdFrame, poses: Sequence[PoseEstimate], part_renderer: PartRenderer, level: int, tolerance_m: float
) -> npt.NDArray[np.bool_]:
    """(H, W) where one of the poses is drawn in front, and the depth agrees within the tolerance or is unknown.

    Args:
        frame: with or without depth.
        poses: of parts in `part_renderer`.
        part_renderer: renders the parts.
        level: of detail at which the parts are rendered.
        tolerance_m: depth difference that counts as agreement; at least three times the depth noise.
    """
    if not poses:
        return np.zeros((frame.camera.height, frame.camera.width), np.bool_)
    mesh_ids = np.array([part_renderer.ids.index(pose.object_id) * part_renderer.levels + level for pose in poses])
    scene = part_renderer.renderer.scene(mesh_ids, np.stack([pose.T_cam_obj for pose in poses]), frame.camera)
    drawn = scene.instance_ids >= 0
    if frame.depth_m is None:
        return np.asarray(drawn)
    tolerance = max(tolerance_m, NOISE_FACTOR * depth_noise_m(frame.depth_m))
    return np.asarray(drawn & ((frame.depth_m == 0) | (np.abs(frame.depth_m - scene.depth_m) <= tolerance)))
