"""What a frame offers to compare renderings with: depth, surface normals, noise and the detections' labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.camera import Camera
from binpose_core.frames import RgbdFrame
from binpose_core.geometry import FloatArray
from binpose_core.types import Detection

NO_DETECTION = -1
NORMAL_RADIUS_PX = 2
STEEPEST = 3.0  # tangent of the slant beyond which neighbouring pixels are no longer one surface
BOX_MARGIN = 0.25  # of the box's longer side: how far around a detection hypotheses may look


@dataclass(frozen=True)
class Observation:
    """One frame, prepared once for all hypotheses.

    depth_m: (H, W) float32, 0 = no measurement; all zero when `has_depth` is false.
    normals: (H, W, 3) float32 in the camera frame, towards the camera; 0 where unknown or not needed.
    labels: (H, W) int16 index of the detection that covers the pixel, -1 = none.
    edges: (H, W, 2) float32 gradient of the gray image in gray levels per pixel.
    mask_px: (D,) number of pixels of each detection's mask.
    noise_m: standard deviation of the depth at one pixel.
    """

    camera: Camera
    depth_m: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int16]
    edges: npt.NDArray[np.float32]
    mask_px: npt.NDArray[np.int64]
    noise_m: float
    has_depth: bool


def observe(frame: RgbdFrame, detections: Sequence[Detection], noise_floor_m: float) -> Observation:
    """Prepare a frame; where masks overlap, the detection with the higher score owns the pixel."""
    shape = (frame.camera.height, frame.camera.width)
    depth = np.zeros(shape, np.float32) if frame.depth_m is None else np.ascontiguousarray(frame.depth_m)
    labels = np.full(shape, NO_DETECTION, np.int16)
    needed = np.zeros(shape, dtype=np.bool_)
    for index in sorted(range(len(detections)), key=lambda i: detections[i].score):
        rows, columns = _slices(detections[index].bbox_xyxy, 0, shape)
        _paint(labels, detections[index], index, rows, columns)
        margin = int(BOX_MARGIN * max(detections[index].mask.shape)) + 2
        needed[_slices(detections[index].bbox_xyxy, margin, shape)] = True
    noise = max(depth_noise_m(depth), noise_floor_m)
    normals = np.zeros((*shape, 3), np.float32)
    if frame.depth_m is not None:
        fit_normals(depth, frame.camera.intrinsics, 4.0 * noise, NORMAL_RADIUS_PX, needed, normals)
    edges = np.zeros((*shape, 2), np.float32)
    image_gradient(np.ascontiguousarray(frame.gray), needed, edges)
    mask_px = np.bincount(labels[labels >= 0], minlength=len(detections)).astype(np.int64)
    return Observation(frame.camera, depth, normals, labels, edges, mask_px, noise, frame.depth_m is not None)


def _slices(box: tuple[int, int, int, int], margin: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box
    return (
        slice(max(0, y0 - margin), max(0, min(shape[0], y1 + margin))),
        slice(max(0, x0 - margin), max(0, min(shape[1], x1 + margin))),
    )


def _paint(labels: npt.NDArray[np.int16], detection: Detection, index: int, rows: slice, columns: slice) -> None:
    """Write the index where the mask is, also when the box reaches out of the image."""
    x0, y0, _, _ = detection.bbox_xyxy
    inside = detection.mask[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
    if inside.size:
        labels[rows, columns][inside] = index


def depth_noise_m(depth_m: FloatArray, stride: int = 3) -> float:
    """Standard deviation of independent noise per pixel, from the median second difference along rows.

    A plane has no second difference (nearly so in depth), and edges are few, so the median is the noise's:
    for sigma it is 0.6745 * sqrt(1 + 4 + 1) * sigma. 0 where there is too little depth to tell.
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


@njit(parallel=True, cache=True)
def fit_normals(depth, intrinsics, gate_m, radius, needed, normals):
    """Normals of planes z = a + b du + c dv fitted to the neighbours of one surface, where `needed`."""
    for v in prange(depth.shape[0]):  # prange counts in unsigned integers
        for u in range(depth.shape[1]):
            if needed[v, u] and depth[v, u] > 0.0:
                _fit_normal(depth, np.int64(v), u, intrinsics, gate_m, radius, normals[v, u])


@njit
def _fit_normal(depth, v, u, intrinsics, gate_m, radius, normal):
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    z = depth[v, u]
    reach = STEEPEST * z / fx
    n, su, sv, suu, svv, suv, sz, szu, szv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for dv in range(max(-radius, -v), min(radius, depth.shape[0] - 1 - v) + 1):
        for du in range(max(-radius, -u), min(radius, depth.shape[1] - 1 - u) + 1):
            other = depth[v + dv, u + du]
            d = other - z
            if other <= 0.0 or abs(d) > gate_m + reach * max(abs(du), abs(dv)):
                continue
            n += 1.0
            su += du
            sv += dv
            suu += du * du
            svv += dv * dv
            suv += du * dv
            sz += d
            szu += d * du
            szv += d * dv
    if n < 6.0:
        return
    muu, mvv, muv = suu - su * su / n, svv - sv * sv / n, suv - su * sv / n
    mzu, mzv = szu - sz * su / n, szv - sz * sv / n
    determinant = muu * mvv - muv * muv
    if determinant < 1e-3 * n * n:
        return
    b = (mzu * mvv - mzv * muv) / determinant
    c = (mzv * muu - mzu * muv) / determinant
    x, y = (u - cx) / fx, (v - cy) / fy
    # Tangents along u and v of the surface z * (x, y, 1), and their cross product turned to the camera.
    ax, ay, az = z / fx + x * b, y * b, b
    bx, by, bz = x * c, z / fy + y * c, c
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if nx * x + ny * y + nz > 0.0:
        length = -length
    normal[0], normal[1], normal[2] = nx / length, ny / length, nz / length


@njit(parallel=True, cache=True)
def image_gradient(gray, needed, edges):
    """Sobel gradient (H, W, 2) in gray levels per pixel, where `needed`."""
    height, width = gray.shape
    for v in prange(1, height - 1):
        for u in range(1, width - 1):
            if not needed[v, u]:
                continue
            a, b, c = float(gray[v - 1, u - 1]), float(gray[v - 1, u]), float(gray[v - 1, u + 1])
            d, f = float(gray[v, u - 1]), float(gray[v, u + 1])
            g, h, i = float(gray[v + 1, u - 1]), float(gray[v + 1, u]), float(gray[v + 1, u + 1])
            edges[v, u, 0] = (c + 2 * f + i - a - 2 * d - g) / 8
            edges[v, u, 1] = (g + 2 * h + i - a - 2 * b - c) / 8
