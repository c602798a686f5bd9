"""Properties of a depth sensor measured in its images: noise on planes, its correlation, edge width, holes, step."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numba
import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray

WINDOW_PX = 15
LAGS = 8
FLATTEST = 0.15
"""Fraction of the windows that count as planes, those with the smallest residuals: others are curved or have edges."""
EDGE_PX = 12
EDGE_M = (0.012, 0.05)
"""Range of steps between two surfaces whose edge width is measured."""


@dataclass(frozen=True)
class DepthFigures:
    """Figures of a set of frames.

    distance_m: median. noise_m: residual of local planes. noise_px: the same as disparity of a baseline of 50 mm.
    correlation_px: distance at which the residuals' correlation falls to a half.
    edge_px: median width of a step, from 10 to 90 % of its height. sharp: fraction of the steps at most 2 px wide.
    holes: fraction of the pixels within the measured region. hole_px: median length of a hole along a row.
    step_m: median difference of neighbouring depth values.
    """

    distance_m: float
    noise_m: float
    noise_px: float
    correlation_px: float
    edge_px: float
    sharp: float
    holes: float
    hole_px: float
    step_m: float


def measure(frames: Sequence[RgbdFrame], region: Sequence[npt.NDArray[np.bool_]]) -> DepthFigures:
    """The figures of frames, each within its region (H, W)."""
    residuals, widths, runs, missing, steps, distances = [], [], [], [], [], []
    for frame, inside in zip(frames, region, strict=True):
        depth = np.where(inside, frame.depth_m, 0).astype(np.float32)
        scale = frame.camera.fx * 0.05
        residuals.append(_plane_residuals(depth, scale))
        widths.append(edge_widths(depth))
        holes = (frame.depth_m <= 0) & inside
        missing.append(holes.sum() / max(inside.sum(), 1))
        runs.append(_run_lengths(holes))
        steps.append(_step(depth))
        distances.append(np.median(depth[depth > 0]))
    flat = np.concatenate([found[0] for found in residuals])
    noise_m, noise_px = (np.concatenate([found[i] for found in residuals]) for i in (1, 2))
    widths_px = np.concatenate(widths)
    return DepthFigures(
        float(np.median(distances)), float(np.median(noise_m)), float(np.median(noise_px)), _half_length(flat),
        float(np.median(widths_px)) if len(widths_px) else np.nan,
        float((widths_px <= 2).mean()) if len(widths_px) else np.nan, float(np.mean(missing)),
        float(np.mean(np.concatenate(runs))), float(np.median(steps)),
    )  # fmt: skip


def hull(valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(H, W) the convex hull of the valid pixels, because recordings may be cropped to a bin."""
    points = np.argwhere(valid)[:, ::-1].astype(np.int32)
    filled = np.zeros(valid.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.astype(bool)


def _plane_residuals(
    depth: npt.NDArray[np.float32], focal_baseline: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Residuals (K, W, W) of the flattest whole windows, in px; their rms in metres and in px (K,)."""
    size, axis = WINDOW_PX, np.arange(WINDOW_PX) - WINDOW_PX // 2
    design = np.stack([np.ones(size * size), np.tile(axis, size), np.repeat(axis, size)], 1)
    onto = np.eye(size * size) - design @ np.linalg.pinv(design)
    rows, columns = (range(0, length - size, size // 2) for length in depth.shape)
    windows = np.array([depth[v : v + size, u : u + size].ravel() for v in rows for u in columns], np.float64)
    windows = windows[(windows > 0).all(1)]
    if not len(windows):
        return np.zeros((0, size, size)), np.zeros(0), np.zeros(0)
    # a plane is linear in the image in disparity, not in depth
    residual = (focal_baseline / windows) @ onto
    rms = residual.std(1)
    flat = rms <= np.quantile(rms, FLATTEST)
    middle = windows[flat].mean(1)
    return residual[flat].reshape(-1, size, size), rms[flat] * middle**2 / focal_baseline, rms[flat]


def _half_length(residuals: FloatArray) -> float:
    """Lag in px at which the mean correlation along rows and columns falls to a half."""
    if not len(residuals):
        return np.nan
    power = (residuals**2).mean()
    both = np.concatenate([residuals, residuals.transpose(0, 2, 1)])
    curve = [1.0, *((both[..., lag:] * both[..., :-lag]).mean() / power for lag in range(1, LAGS + 1))]
    below = np.flatnonzero(np.array(curve) < 0.5)
    if not len(below):
        return float(LAGS)
    i = int(below[0])
    return i - 1 + (curve[i - 1] - 0.5) / (curve[i - 1] - curve[i])


@numba.njit(cache=True)
def edge_widths(depth):  # type: ignore[no-untyped-def]
    """Widths in pixels (K,) along a row of each complete, monotonic step between two flat surfaces."""
    widths = []
    height, width = depth.shape
    for v in range(height):
        u = 3
        while u < width - EDGE_PX - 3:
            found = 0
            step = depth[v, u + EDGE_PX] - depth[v, u]
            if depth[v, u] > 0 and EDGE_M[0] < abs(step) < EDGE_M[1]:
                flat = abs(depth[v, u] - depth[v, u - 3]) < 0.1 * abs(step)
                flat = flat and abs(depth[v, u + EDGE_PX + 3] - depth[v, u + EDGE_PX]) < 0.1 * abs(step)
                for k in range(-3, EDGE_PX + 4):
                    flat = flat and depth[v, u + k] > 0
                if flat:
                    found = 1
                    for k in range(1, EDGE_PX):
                        part = (depth[v, u + k] - depth[v, u]) / step
                        found += 0.1 < part < 0.9
            if found > 0:
                widths.append(found)
                u += EDGE_PX
            else:
                u += 1
    return np.array(widths, np.int64)


def _run_lengths(holes: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Lengths of the holes along rows."""
    padded = np.pad(holes, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded.ravel())
    return np.flatnonzero(change == -1) - np.flatnonzero(change == 1)


def _step(depth: npt.NDArray[np.float32]) -> float:
    values = np.unique(np.round(depth[depth > 0].astype(np.float64), 6))
    return float(np.median(np.diff(values))) if len(values) > 1 else np.nan
