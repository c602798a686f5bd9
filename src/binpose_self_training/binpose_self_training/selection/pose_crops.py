"""What a frame shows and what poses render, in equal windows around the poses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer, window_intrinsics
from binpose_refinement.observation import depth_noise_m

FACES = 5000
"""Level of detail at which poses are drawn."""
LARGEST_PX = 160
"""Larger windows are subsampled."""
NOISE_FACTOR = 3.0
LEAST_TOLERANCE_M = 0.003


@dataclass(frozen=True, eq=False)
class PoseCrops:
    """B windows of n x n pixels; pixel (i, j) of all images of a window is the same pixel of the frame.

    inside: (B, n, n) bool, pixels that the frame has.
    observed_mask: (B, n, n) bool, the mask of the pose's detection; the drawn pose where it has none.
    observed_depth_m: (B, n, n) float32, 0 = unknown.
    rendered_depth_m: (B, n, n) float32, 0 = background.
    intrinsics: (B, 4) fx, fy, cx, cy of the windows in pixels.
    diameter_m: (B,) of the parts.
    tolerance_m: depth difference from which something lies in front of a pose.
    """

    inside: npt.NDArray[np.bool_]
    observed_mask: npt.NDArray[np.bool_]
    observed_depth_m: npt.NDArray[np.float32]
    rendered_depth_m: npt.NDArray[np.float32]
    intrinsics: FloatArray
    diameter_m: FloatArray
    tolerance_m: float

    def __len__(self) -> int:
        return len(self.inside)

    @property
    def rendered_mask(self) -> npt.NDArray[np.bool_]:
        """(B, n, n) pixels in the frame that the pose alone covers, hidden ones included."""
        return (self.rendered_depth_m > 0) & self.inside

    @property
    def occluded(self) -> npt.NDArray[np.bool_]:
        """(B, n, n) pixels of the pose in front of which the frame shows something else."""
        in_front = (self.observed_depth_m > 0) & (self.observed_depth_m < self.rendered_depth_m - self.tolerance_m)
        return self.rendered_mask & in_front

    def points(self, index: int, depth_m: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> FloatArray:
        """(N, 3) points in the camera frame of the pixels of a mask (n, n) with depth (n, n), in metres."""
        rows, columns = np.nonzero(mask & (depth_m > 0))
        z = depth_m[rows, columns].astype(np.float64)
        fx, fy, cx, cy = self.intrinsics[index]
        return np.stack([(columns - cx) / fx * z, (rows - cy) / fy * z, z], -1)


class PoseCropper:
    """Cuts `PoseCrops`; the parts' meshes are prepared once."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self.part_renderer = PartRenderer(objects, (FACES,))

    def __call__(self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]) -> PoseCrops:
        """The windows of poses in their order.

        Args:
            frame: with depth.
            detections: of the frame, which `detection_index` of the poses refers to.
            poses: of known parts, in front of the camera.
        """
        assert frame.depth_m is not None
        renderer, camera = self.part_renderer, frame.camera
        batch = _batch(poses, renderer)
        size_px = min(renderer.largest_px(batch, camera), LARGEST_PX) if poses else 2
        windows = renderer.windows(batch, camera, size_px, whole_steps=True)
        drawn = renderer.draw(batch, 0, windows, camera, size_px)
        rows, columns, inside = _pixels(windows, size_px, camera.height, camera.width)
        masks = [
            _mask(detections, pose, rows[b], columns[b], drawn.mask[b] & inside[b]) for b, pose in enumerate(poses)
        ]
        return PoseCrops(
            inside=inside,
            observed_mask=np.stack(masks) if masks else np.zeros((0, size_px, size_px), bool),
            observed_depth_m=np.where(inside, frame.depth_m[rows, columns], np.float32(0)),
            rendered_depth_m=drawn.depth_m,
            intrinsics=window_intrinsics(windows, camera),
            diameter_m=renderer.diameter_m[batch.part],
            tolerance_m=pose_tolerance_m(frame),
        )


def _batch(poses: Sequence[PoseEstimate], renderer: PartRenderer) -> HypothesisBatch:
    part = np.array([renderer.ids.index(pose.object_id) for pose in poses], np.int64)
    T_cam_obj = np.array([pose.T_cam_obj for pose in poses], np.float64).reshape(-1, 4, 4)
    return HypothesisBatch(np.arange(len(poses)), part, T_cam_obj, np.zeros(len(poses)))


def _pixels(
    windows: FloatArray, size_px: int, height: int, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows (B, n, n) and columns (B, n, n) of the frame, clipped to it, and where they were inside."""
    steps = np.arange(size_px)
    u0, v0, step = windows.T.astype(np.int64).reshape(3, -1)
    rows = (v0[:, None] + step[:, None] * steps)[:, :, None]
    columns = (u0[:, None] + step[:, None] * steps)[:, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    shape = inside.shape
    rows, columns = np.broadcast_to(rows, shape), np.broadcast_to(columns, shape)
    return rows.clip(0, height - 1), columns.clip(0, width - 1), inside


def _mask(
    detections: Sequence[Detection],
    pose: PoseEstimate,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """(n, n) the mask of a pose's detection in a window."""
    if pose.detection_index is None:
        return drawn
    detection = detections[pose.detection_index]
    x0, y0, x1, y1 = detection.bbox_xyxy
    within = (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
    mask = detection.mask[(rows - y0).clip(0, y1 - y0 - 1), (columns - x0).clip(0, x1 - x0 - 1)]
    return np.asarray(mask & within)


def pose_tolerance_m(frame: RgbdFrame) -> float:
    """Depth difference up to which the depth of a frame agrees with a pose."""
    noise_m = 0.0 if frame.depth_m is None else depth_noise_m(frame.depth_m)
    return max(LEAST_TOLERANCE_M, NOISE_FACTOR * noise_m)


def grown(mask: npt.NDArray[np.bool_], by_px: int) -> npt.NDArray[np.bool_]:
    """A mask (H, W), larger by as many pixels on all sides."""
    kernel = np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)
