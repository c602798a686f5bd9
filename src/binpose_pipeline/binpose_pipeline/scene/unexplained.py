"""How much of a bin's content no pose explains, without labels.

The content is what stands above the floor of the bin. The bin is the given region, or the convex hull of all
detections, or the whole frame where nothing was detected. The floor is the deepest plane that many of the unexplained
pixels lie on.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.frames.region import Region
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import FloatArray

ABOVE_FLOOR_M = 0.004
"""Least height above the floor of what counts as content, beside the depth noise."""
FLOOR_FRACTION = 0.2
"""Least fraction of the unexplained pixels that lie on the floor, else the floor is hidden."""
BELOW_FLOOR = 0.02
"""Largest fraction of the unexplained pixels that may lie behind the floor."""
TRIALS, SAMPLED = 60, 2000


def unexplained_fraction(
    frame: RgbdFrame,
    explained: npt.NDArray[np.bool_],
    detections: Sequence[Detection] = (),
    region: Region | None = None,
) -> float:
    """Fraction in [0, 1] of the pixels of the bin's content that no pose explains; NaN without content or depth.

    Args:
        frame: with depth.
        explained: (H, W) pixels that poses explain.
        detections: of all looks.
        region: outline of the bin.
    """
    content = bin_content(frame, explained, detections, region)
    total = int(np.count_nonzero(content))
    return int(np.count_nonzero(content & ~explained)) / total if total else float("nan")


def bin_content(
    frame: RgbdFrame,
    explained: npt.NDArray[np.bool_],
    detections: Sequence[Detection] = (),
    region: Region | None = None,
) -> npt.NDArray[np.bool_]:
    """(H, W) pixels in the bin with depth that are explained or stand above the floor; arguments as above."""
    if frame.depth_m is None:
        return np.zeros((frame.camera.height, frame.camera.width), np.bool_)
    inside = _bin(frame, detections, region) & (frame.depth_m > 0)
    return inside & (explained | ~_on_floor(frame, inside & ~explained))


def floor_pixels(
    frame: RgbdFrame,
    content: npt.NDArray[np.bool_],
    detections: Sequence[Detection] = (),
    region: Region | None = None,
) -> npt.NDArray[np.bool_]:
    """(H, W) pixels on the floor of the bin, none where it is hidden.

    Args:
        frame: with depth.
        content: (H, W) pixels that are known to be none of the floor.
        detections: of all looks.
        region: outline of the bin.
    """
    if frame.depth_m is None:
        return np.zeros(content.shape, np.bool_)
    return _on_floor(frame, _bin(frame, detections, region) & (frame.depth_m > 0) & ~content)


def _bin(frame: RgbdFrame, detections: Sequence[Detection], region: Region | None) -> npt.NDArray[np.bool_]:
    """(H, W) the pixels of the bin."""
    height, width = frame.camera.height, frame.camera.width
    mask = np.zeros((height, width), np.uint8)
    if region is not None:
        return region.mask(height, width)
    corners = [_corners(detection) for detection in detections if detection.mask.any()]
    if not corners:
        return np.ones((height, width), np.bool_)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.concatenate(corners).astype(np.int32)), 1)
    return mask > 0


def _corners(detection: Detection) -> npt.NDArray[np.int64]:
    """(N, 2) first and last pixel u, v of each row of a mask."""
    rows = np.flatnonzero(detection.mask.any(1))
    mask = detection.mask[rows]
    first, last = mask.argmax(1), mask.shape[1] - 1 - mask[:, ::-1].argmax(1)
    x0, y0 = detection.bbox_xyxy[:2]
    return np.column_stack([np.concatenate([first, last]) + x0, np.tile(rows, 2) + y0])


def _on_floor(frame: RgbdFrame, rest: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(H, W) pixels of `rest` on the deepest plane that holds many of them and has almost none behind it."""
    assert frame.depth_m is not None
    on_floor = np.zeros(rest.shape, np.bool_)
    v, u = np.nonzero(rest)
    if len(v) < 50:
        return on_floor
    z = frame.depth_m[v, u].astype(np.float64)
    camera = frame.camera
    points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], -1)
    rng = np.random.default_rng(len(v))
    plane = _floor_plane(points[rng.choice(len(points), min(len(points), SAMPLED), replace=False)], rng)
    if plane is not None:
        on_floor[v, u] = points @ plane[:3] - plane[3] > -ABOVE_FLOOR_M
    return on_floor


def _floor_plane(points: FloatArray, rng: np.random.Generator) -> FloatArray | None:
    """(4,) unit normal away from the camera and distance of the floor among points (N, 3); None where it is hidden."""
    best, best_count = None, int(FLOOR_FRACTION * len(points))
    for _ in range(TRIALS):
        a, b, c = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length < 1e-9:
            continue
        normal = normal / length * np.sign(normal[2] or 1.0)
        height = points @ normal - normal @ a
        count = int(np.count_nonzero(np.abs(height) < ABOVE_FLOOR_M))
        if count > best_count and np.count_nonzero(height > ABOVE_FLOOR_M) <= BELOW_FLOOR * len(points):
            best, best_count = np.append(normal, normal @ a), count
    return best
