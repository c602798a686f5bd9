"""Classes and centres of detections for which the pose network is run."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import FloatArray


class Candidates(NamedTuple):
    """Every detection with its class and its alternatives: owners (B,) their indices, B names, scores (B,)."""

    owners: npt.NDArray[np.int32]
    names: list[str]
    scores: FloatArray


def candidates(detections: Sequence[Detection]) -> Candidates:
    """Of at least one detection."""
    entries = [
        (i, name, score) for i, d in enumerate(detections) for name, score in ((d.object_id, d.score), *d.alternatives)
    ]
    owners, names, scores = zip(*entries, strict=True)
    return Candidates(np.array(owners, np.int32), list(names), np.array(scores, np.float64))


def center_of(detection: Detection, frame: RgbdFrame, diameter_m: float) -> FloatArray:
    """(3,) estimated centre in the camera frame.

    Without a voted depth it is that of what surrounds the detection; without any depth the frame's `distance_m`, or the
    distance at which a part of this diameter fills the detection's box.
    """
    voted = detection.center_depth_m
    depth = voted if np.isfinite(voted) and voted > 0 else None
    if depth is None:
        depth = _depth_around(detection, frame.depth_m) if frame.depth_m is not None else frame.distance_m
    camera = frame.camera
    if depth is None:
        x0, y0, x1, y1 = detection.bbox_xyxy
        depth = diameter_m / float(np.hypot((x1 - x0) / camera.fx, (y1 - y0) / camera.fy))
    u, v = detection.center_px
    return np.array([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth])


def _depth_around(detection: Detection, depth_m: npt.NDArray[np.float32]) -> float:
    x0, y0, x1, y1 = detection.bbox_xyxy
    window = depth_m[max(0, y0 - 8) : y1 + 8, max(0, x0 - 8) : x1 + 8]
    valid = window[window > 0]
    return float(np.quantile(valid, 0.3)) if valid.size else float(np.median(depth_m[depth_m > 0]))
