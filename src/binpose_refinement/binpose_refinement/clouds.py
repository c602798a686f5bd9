"""Observed points of each detection."""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.observation import Observation

CHROMA_SCALE = 64.0  # of CIELAB's a and b


def clouds(
    observation: Observation, owner: npt.NDArray[np.int64], count: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Points (B, count, 3) in metres, chroma (B, count, 2), and whether a detection has any points (B,).

    The points are spread evenly over the mask's pixels with depth. They repeat where there are fewer pixels, and are
    zero where there are none.

    Args:
        observation: of the frame.
        owner: (B,) index of the detection.
        count: number of points.
    """
    camera, chroma = observation.camera, observation.chroma
    points, colors = np.zeros((len(owner), count, 3), np.float32), np.zeros((len(owner), count, 2), np.float32)
    seen = np.zeros(len(owner), bool)
    for detection in np.unique(owner):
        rows, columns = np.nonzero((observation.labels == detection) & (observation.depth_m > 0))
        if not len(rows):
            continue
        chosen = np.linspace(0, len(rows) - 1, count).astype(np.int64)
        v, u = rows[chosen], columns[chosen]
        z = observation.depth_m[v, u]
        mine = owner == detection
        points[mine] = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], -1)
        colors[mine] = chroma[v, u] / CHROMA_SCALE
        seen[mine] = True
    return points, colors, seen
