"""Poses that a model might report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray


def reported(scene: Any, score: float = 0.8, moved_m: Sequence[float] = (0.0, 0.0, 0.0)) -> list[PoseEstimate]:
    """The true poses of a scene, all moved alike."""
    return [
        PoseEstimate(name, moved(T, moved_m), score, i)
        for i, (name, T) in enumerate(zip(scene.object_ids, scene.T_cam_obj, strict=True))
    ]


def moved(T_cam_obj: FloatArray, offset_m: Sequence[float]) -> FloatArray:
    T = np.array(T_cam_obj, np.float64)
    T[:3, 3] += offset_m
    return T
