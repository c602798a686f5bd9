"""Per-frame data for the comparison with renderings: depth, surface normals, noise and the detections' labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.label_image import box_slices, label_image
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.surface_normals import DepthFit, surface_normals
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.chroma import chroma_of
from binpose_refinement.kernels.image import image_gradient

STEEPEST = 3.0  # largest tangent of the slope at which neighbouring pixels belong to one surface
BOX_MARGIN = 0.25  # of the box's longer side: region around a detection that is prepared


@dataclass(frozen=True)
class Observation:
    """One frame, prepared once for all hypotheses.

    depth_m: (H, W) float32, 0 = no measurement; all zero when `has_depth` is false.
    normals: (H, W, 3) float32 in the camera frame, towards the camera; 0 where unknown or not needed.
    labels: (H, W) int32 index of the detection that covers the pixel, -1 = none.
    edges: (H, W, 2) float32 gradient of the gray image in gray levels per pixel.
    mask_px: (D,) number of pixels of each detection's mask.
    noise_m: standard deviation of the depth at one pixel.
    rgb: (H, W, 3) the colour image.
    """

    camera: Camera
    depth_m: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    edges: npt.NDArray[np.float32]
    mask_px: npt.NDArray[np.int64]
    noise_m: float
    has_depth: bool
    rgb: npt.NDArray[np.uint8]

    @cached_property
    def chroma(self) -> npt.NDArray[np.float32]:
        """(H, W, 2) a and b of CIELAB, computed on first use."""
        return chroma_of(self.rgb)


def observe(
    frame: RgbdFrame,
    detections: Sequence[Detection],
    noise_floor_m: float,
    unknown: npt.NDArray[np.bool_] | None = None,
    order: Sequence[int] | None = None,
    needed_of: Sequence[int] | None = None,
) -> Observation:
    """Prepare a frame; its labels are computed by `label_image`.

    Args:
        frame: the images.
        detections: of the frame.
        noise_floor_m: least standard deviation of the depth noise.
        unknown: pixels (H, W) that are not compared: they have no depth and belong to an additional detection, which
            counts as a possible occluder of any part.
        order: indices of the detections whose masks are drawn, the later ones on top; None for the order of
            `label_image`.
        needed_of: indices of the detections whose surroundings are prepared; None for all.
    """
    shape = (frame.camera.height, frame.camera.width)
    depth = np.zeros(shape, np.float32) if frame.depth_m is None else np.ascontiguousarray(frame.depth_m)
    if unknown is not None:
        depth = np.where(unknown, np.float32(0), depth)
    labels = label_image(detections, *shape, order=order)
    if unknown is not None:
        labels[unknown] = len(detections)
    needed = np.zeros(shape, dtype=np.bool_)
    for detection in detections if needed_of is None else [detections[i] for i in needed_of]:
        needed[box_slices(detection.bbox_xyxy, shape, int(BOX_MARGIN * max(detection.mask.shape)) + 2)] = True
    noise = max(depth_noise_m(depth), noise_floor_m)
    fit = DepthFit(4.0 * noise, STEEPEST)
    normals = surface_normals(depth, frame.camera, fit, needed)
    edges = np.zeros((*shape, 2), np.float32)
    image_gradient(np.ascontiguousarray(frame.gray), needed, edges)
    mask_px = np.bincount(labels[labels >= 0], minlength=len(detections)).astype(np.int64)[: len(detections)]
    return Observation(
        frame.camera, depth, normals, labels, edges, mask_px, noise, frame.depth_m is not None, frame.rgb
    )


def depth_noise_m(depth_m: FloatArray, stride: int = 3) -> float:
    """Standard deviation of independent noise per pixel, from the median second difference along rows.

    Second differences vanish on planes (nearly so in depth), and edges are few, so their median is that of the noise:
    0.6745 * sqrt(1 + 4 + 1) * sigma. 0 where there is too little depth.
    """
    rows = depth_m[::stride]
    left, middle, right = rows[:, :-2:2], rows[:, 1:-1:2], rows[:, 2::2]
    width = min(left.shape[1], middle.shape[1], right.shape[1])
    left, middle, right = left[:, :width], middle[:, :width], right[:, :width]
    valid = (left > 0) & (middle > 0) & (right > 0)
    if np.count_nonzero(valid) < 50:
        return 0.0
    second = np.abs(left[valid] + right[valid] - 2 * middle[valid])
    return float(np.median(second)) / (0.6745 * np.sqrt(6.0))
