"""The frame as the networks see it: resampled to a wanted ground sample distance, with surface normals.

A network that always sees about the same number of pixels per millimetre works with any camera, and a
sensor with more pixels than that gets its depth noise averaged away.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.surface_normals import InverseDepthFit, surface_normals
from binpose_core.geometry.transforms import FloatArray

MAX_ENLARGEMENT = 1.6
SIZE_MULTIPLE = 32
ERASED_COLOR = 128
"""Grey level of pixels that `WorkingView.without` erases."""
NORMAL_FIT = InverseDepthFit(slope_m_per_px=0.004)


@dataclass(frozen=True)
class WorkingView:
    """A frame resampled; its sides are multiples of 32, padded at the right and the bottom.

    color: (h, w, 3) uint8. is_mono: whether it is grey repeated.
    depth_m: (h, w) float32, 0 = invalid. normals: (h, w, 3) float32 towards the camera, 0 = unknown.
    camera: of the view, padding included.
    scale: working pixels per frame pixel, across and down; they differ by the rounding of the size.
    gsd_m: metres per working pixel at the median depth.
    frame_shape: (H, W) of the frame.
    """

    color: npt.NDArray[np.uint8]
    is_mono: bool
    depth_m: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    camera: Camera
    scale: tuple[float, float]
    gsd_m: float
    frame_shape: tuple[int, int]

    def to_frame_px(self, points_px: FloatArray) -> FloatArray:
        """Image coordinates (..., 2) of the frame for those of the working view."""
        return np.asarray((points_px + 0.5) / self.scale - 0.5)

    def to_working_px(self, points_px: FloatArray) -> FloatArray:
        """Image coordinates (..., 2) of the working view for those of the frame."""
        return np.asarray((points_px + 0.5) * self.scale - 0.5)

    def frame_indices(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Columns (w,) and rows (h,) of the frame in which the view's pixels lie; past its end in the padding."""
        return _indices(self.camera.width, self.scale[0]), _indices(self.camera.height, self.scale[1])

    def labels(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """(h, w) int32: a label image (H, W) of the frame at the view's pixels, -1 in the padding."""
        columns, rows = self.frame_indices()
        columns, rows = columns[columns < labels.shape[1]], rows[rows < labels.shape[0]]
        sampled = np.full(self.depth_m.shape, -1, np.int32)
        sampled[: len(rows), : len(columns)] = labels[np.ix_(rows, columns)]
        return sampled

    def without(self, pixels: npt.NDArray[np.bool_]) -> "WorkingView":
        """The view with pixels (H, W) of the frame erased: no depth, no normals, grey.

        Detection looks again at such a view, after what is already explained was erased.
        """
        erased = self.labels(pixels.astype(np.int32)) > 0
        color, depth, normals = self.color.copy(), self.depth_m.copy(), self.normals.copy()
        color[erased], depth[erased], normals[erased] = ERASED_COLOR, 0, 0
        return replace(self, color=color, depth_m=depth, normals=normals)


def make_working_view(frame: RgbdFrame, gsd_m: float, max_pixels: int) -> WorkingView:
    """Resample a frame so that one pixel covers about `gsd_m` at the scene's median depth.

    Without depth the frame's `distance_m` takes its place; it is not resampled where that is not known either.

    Args:
        frame: with or without depth.
        gsd_m: wanted metres per pixel.
        max_pixels: the view is made coarser where it would have more pixels than this.
    """
    height, width = frame.camera.height, frame.camera.width
    distance = frame.distance_m
    if frame.depth_m is not None:
        distance = float(np.median(frame.depth_m[frame.depth_m > 0]))
    scale = 1.0 if distance is None else distance / frame.camera.fx / gsd_m
    scale = min(scale, MAX_ENLARGEMENT, np.sqrt(max_pixels / (height * width)))
    scale = 1.0 if 0.93 < scale < 1.07 else scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    color = frame.rgb
    depth = frame.depth_m if frame.depth_m is not None else np.zeros((height, width), np.float32)
    if size != (width, height):
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        depth = resize_depth(depth, size)
    pad = ((0, -size[1] % SIZE_MULTIPLE), (0, -size[0] % SIZE_MULTIPLE))
    color = np.pad(color, (*pad, (0, 0)))
    depth = np.pad(depth, pad)
    resized = frame.camera.resized(*size)
    camera = Camera(resized.fx, resized.fy, resized.cx, resized.cy, color.shape[1], color.shape[0])
    normals = surface_normals(depth, camera, NORMAL_FIT)
    gsd = (distance if distance is not None else 1.0) / camera.fx
    scales = (size[0] / width, size[1] / height)
    return WorkingView(color, frame.color.ndim == 2, depth, normals, camera, scales, gsd, (height, width))


def resize_depth(depth_m: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Depth (H, W) at size (width, height): the mean of the valid pixels on the nearest pixel's surface.

    The area mean is taken only where it agrees with the nearest pixel, so that edges stay edges.
    """
    height, width = depth_m.shape
    # Not with OpenCV, whose releases break ties between two pixels differently: depth and labels are of the same one.
    nearest = depth_m[_indices(size[1], size[1] / height)][:, _indices(size[0], size[0] / width)]
    if size[0] >= width:
        return nearest
    weight = cv2.resize((depth_m > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(depth_m, size, interpolation=cv2.INTER_AREA)
    mean = total / np.maximum(weight, 1e-6)
    smooth = (weight > 0.3) & ((np.abs(mean - nearest) < 0.003) | ((nearest == 0) & (weight > 0.5)))
    return np.where(smooth, mean, nearest).astype(np.float32)


def _indices(count: int, scale: float) -> npt.NDArray[np.int64]:
    """(count,) the pixels of a row or column in which the middles of `count` resampled ones lie."""
    return np.floor((np.arange(count) + 0.5) / scale).astype(np.int64)
