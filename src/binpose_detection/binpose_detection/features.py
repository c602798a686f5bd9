"""What the segmentation network sees of a working view: local shape and colour, never absolute depth."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.frames.working_view import WorkingView

SHAPE_CHANNELS = ("normal_x", "normal_y", "normal_z", "valid", "height_near", "height_far")
COLOR_CHANNELS = ("luma", "luma_local", "red", "blue")
CHANNELS = SHAPE_CHANNELS + COLOR_CHANNELS
HEIGHT_RADII_PX = (8, 24)
CONTRAST_RADIUS_PX = 16
LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def view_features(view: WorkingView) -> npt.NDArray[np.float32]:
    """Features (h, w, 10) float32 of about unit range, in the order of `CHANNELS`.

    Normals and heights are zero where the depth is unknown. A height is how far a pixel stands out towards the camera
    from the mean depth around it, relative to the radius of that neighbourhood. Colour is luminance, luminance against
    its surroundings, and two opponent channels that are zero for mono images.
    """
    features = np.empty((*view.depth_m.shape, len(CHANNELS)), np.float32)
    valid = (view.depth_m > 0).astype(np.float32)
    (near, far), (near_weight, far_weight) = (
        [cv2.boxFilter(image, -1, (2 * radius + 1, 2 * radius + 1)) for radius in HEIGHT_RADII_PX]
        for image in (view.depth_m, valid)
    )
    units = np.array(HEIGHT_RADII_PX, np.float32) * np.float32(view.gsd_m)
    _fill_shape(view.depth_m, view.normals, near, near_weight, far, far_weight, units, features)
    _fill_color(view.color, *_luminance(view.color), view.is_mono, features[..., len(SHAPE_CHANNELS) :])
    return features


def _luminance(color: npt.NDArray[np.uint8]) -> tuple[Any, Any, Any]:
    """Luminance (h, w) float32 in [0, 1], its mean and its mean square around each pixel."""
    luma = cv2.transform(color, LUMA).astype(np.float32) * np.float32(1 / 255)
    size = (2 * CONTRAST_RADIUS_PX + 1,) * 2
    return luma, cv2.boxFilter(luma, -1, size), cv2.sqrBoxFilter(luma, -1, size)


@njit(parallel=True, cache=True, fastmath=True)
def _fill_shape(
    depth: Any, normals: Any, near: Any, near_weight: Any, far: Any, far_weight: Any, units: Any, out: Any
) -> None:
    for v in prange(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = depth[v, u]
            known = np.float32(1.0) if z > 0.0 else np.float32(0.0)
            out[v, u, 0] = normals[v, u, 0]
            out[v, u, 1] = normals[v, u, 1]
            out[v, u, 2] = normals[v, u, 2] + known
            out[v, u, 3] = known
            near_height = (near[v, u] / max(near_weight[v, u], np.float32(1e-4)) - z) / units[0]
            far_height = (far[v, u] / max(far_weight[v, u], np.float32(1e-4)) - z) / units[1]
            out[v, u, 4] = known * min(max(near_height, np.float32(-1.5)), np.float32(1.5))
            out[v, u, 5] = known * min(max(far_height, np.float32(-1.5)), np.float32(1.5))


@njit(parallel=True, cache=True, fastmath=True)
def _fill_color(color: Any, luma: Any, mean: Any, square: Any, is_mono: bool, out: Any) -> None:
    for v in prange(color.shape[0]):
        for u in range(color.shape[1]):
            r, g, b = np.float32(color[v, u, 0]), np.float32(color[v, u, 1]), np.float32(color[v, u, 2])
            deviation = np.sqrt(max(square[v, u] - mean[v, u] * mean[v, u], np.float32(0.0)))
            contrast = (luma[v, u] - mean[v, u]) / (2.0 * deviation + 0.05)
            out[v, u, 0] = luma[v, u] - 0.5
            out[v, u, 1] = min(max(contrast, -1.5), 1.5)
            scale = 0.0 if is_mono else 2.0 / (r + g + b + 38.0)
            out[v, u, 2] = scale * (r - g)
            out[v, u, 3] = scale * (b - 0.5 * (r + g))
