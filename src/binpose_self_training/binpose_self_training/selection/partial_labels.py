"""Labelled views of accepted poses: all else is unknown, except for what is surely background."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import BACKGROUND, UNKNOWN, Detection, LabelledView, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_pipeline.scene.unexplained import floor_pixels
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_self_training.selection.pose_crops import grown, pose_tolerance_m

UNSURE_PX = 3
"""Pixels around anything that may be a part which are not taken for background."""


def partial_labels(
    frame: RgbdFrame,
    accepted: Sequence[PoseEstimate],
    doubtful: Sequence[PoseEstimate],
    detections: Sequence[Detection],
    part_renderer: PartRenderer,
    weight: FloatArray | None = None,
    background: bool = True,
) -> LabelledView:
    """What is known about a frame after the selection.

    A pixel belongs to an accepted part where that is drawn in front and the depth agrees with it or is unknown.
    Background is the floor of the bin away from all poses and detections; everything else is unknown.

    Args:
        frame: with depth.
        accepted: the pseudo labels.
        doubtful: poses that were not accepted; their pixels are unknown, also in front of accepted ones.
        detections: of the frame, of any score.
        part_renderer: renders the parts.
        weight: (N,) in [0, 1] of the accepted ones.
        background: whether any background is known.
    """
    assert frame.depth_m is not None
    poses = [*accepted, *doubtful]
    shape = (frame.camera.height, frame.camera.width)
    ids, agrees = np.full(shape, UNKNOWN, np.int16), np.zeros(shape, bool)
    visible: FloatArray = np.zeros(len(accepted))
    if poses:
        scene = part_renderer.renderer.scene(_mesh_ids(poses, part_renderer), _stacked(poses), frame.camera)
        near = np.abs(frame.depth_m - scene.depth_m) <= pose_tolerance_m(frame)
        agrees = (scene.instance_ids >= 0) & (near | (frame.depth_m == 0))
        own = agrees & (scene.instance_ids < len(accepted))
        ids[own] = scene.instance_ids[own]
        visible = visible_fractions(frame, accepted, ids, part_renderer)
    if background:
        ids[_surely_background(frame, agrees, detections) & (ids == UNKNOWN)] = BACKGROUND
    return LabelledView(
        frame,
        tuple(pose.object_id for pose in accepted),
        _stacked(accepted),
        ids,
        visible,
        weight=weight,
    )


def visible_fractions(
    frame: RgbdFrame, poses: Sequence[PoseEstimate], instance_ids: npt.NDArray[np.integer], part_renderer: PartRenderer
) -> FloatArray:
    """(N,) labelled pixels of each part relative to those that it would have alone, in or out of the image."""
    fractions = np.zeros(len(poses))
    for n, (mesh_id, pose) in enumerate(zip(_mesh_ids(poses, part_renderer), poses, strict=True)):
        alone = part_renderer.renderer.scene(mesh_id[None], pose.T_cam_obj[None], frame.camera).mask.sum()
        fractions[n] = min(1.0, np.count_nonzero(instance_ids == n) / max(int(alone), 1))
    return fractions


def _surely_background(
    frame: RgbdFrame, drawn: npt.NDArray[np.bool_], detections: Sequence[Detection]
) -> npt.NDArray[np.bool_]:
    """(H, W) pixels of the floor, away from everything that was detected or drawn."""
    suspected = drawn.copy()
    for detection in detections:
        suspected |= detection.full_mask(*drawn.shape)
    return floor_pixels(frame, suspected, detections) & ~grown(suspected, UNSURE_PX)


def _mesh_ids(poses: Sequence[PoseEstimate], part_renderer: PartRenderer) -> npt.NDArray[np.int64]:
    return np.array([part_renderer.ids.index(pose.object_id) * part_renderer.levels for pose in poses], np.int64)


def _stacked(poses: Sequence[PoseEstimate]) -> FloatArray:
    return np.array([pose.T_cam_obj for pose in poses], np.float64).reshape(-1, 4, 4)
