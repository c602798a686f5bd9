"""Overlap of hypotheses with the masks of their detections."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.types import Detection
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer


def on_mask(
    part_renderer: PartRenderer, camera: Camera, detections: Sequence[Detection], batch: HypothesisBatch, reach: float
) -> npt.NDArray[np.bool_]:
    """(B,) whether any of the part's surface projects onto the detection's own mask.

    Args:
        part_renderer: of the parts.
        camera: of the frame.
        detections: of the frame; overlapping masks do not affect each other.
        batch: hypotheses that can be rendered, see `PartRenderer.unusable`.
        reach: by how much the mask is dilated, as a fraction of the part's projected diameter.
    """
    reach_px = reach * part_renderer.diameter_m[batch.part] * camera.fx / part_renderer.centers_cam(batch)[:, 2]
    columns, rows = _projected(part_renderer, camera, batch)
    found = np.zeros(len(batch), bool)
    for owner in np.unique(batch.owner):
        mine = np.flatnonzero(batch.owner == owner)
        margin = int(np.ceil(reach_px[mine].max())) + 1
        away = _away_px(detections[owner].mask, margin)
        x0, y0, _, _ = detections[owner].bbox_xyxy
        # Points beyond the border of `away` are clipped to it, where the distance exceeds any reach.
        u = np.clip(columns[mine] - x0 + margin, 0, away.shape[1] - 1)
        v = np.clip(rows[mine] - y0 + margin, 0, away.shape[0] - 1)
        found[mine] = (away[v, u] <= reach_px[mine, None]).any(1)
    return found


def _projected(
    part_renderer: PartRenderer, camera: Camera, batch: HypothesisBatch
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Columns and rows (B, N) of the parts' surface points."""
    T = batch.T_cam_obj.astype(np.float32)
    points = part_renderer.surface[batch.part] @ np.swapaxes(T[:, :3, :3], 1, 2) + T[:, None, :3, 3]
    z = np.maximum(points[..., 2], 1e-6)
    u, v = camera.fx * points[..., 0] / z + camera.cx, camera.fy * points[..., 1] / z + camera.cy
    return tuple(np.clip(np.rint(x), -(10**6), 10**6).astype(np.int64) for x in (u, v))


def _away_px(mask: npt.NDArray[np.bool_], margin: int) -> npt.NDArray[np.float32]:
    """Distance of each pixel to the mask (h, w), also in a margin around it: 0 on the mask."""
    elsewhere = np.pad(~mask, margin, constant_values=True).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
