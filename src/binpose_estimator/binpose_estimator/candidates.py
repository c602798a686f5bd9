"""What is asked of the network about detections: which classes, around which centre."""

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


def center_of(detection: Detection, frame: RgbdFrame) -> FloatArray:
    """(3,) estimated centre in the camera frame; without a voted depth, that of what surrounds the detection."""
    depth = detection.center_depth_m
    if not np.isfinite(depth) or depth <= 0:
        assert frame.depth_m is not None
        x0, y0, x1, y1 = detection.bbox_xyxy
        window = frame.depth_m[max(0, y0 - 8) : y1 + 8, max(0, x0 - 8) : x1 + 8]
        valid = window[window > 0]
        depth = float(np.quantile(valid, 0.3)) if valid.size else float(np.median(frame.depth_m[frame.depth_m > 0]))
    camera = frame.camera
    u, v = detection.center_px
    return np.array([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth])
