"""What the segmentation network sees of a working view: local shape and colour, never absolute depth."""

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.working_view import WorkingView

SHAPE_CHANNELS = ("normal_x", "normal_y", "normal_z", "valid", "height_near", "height_far")
COLOR_CHANNELS = ("luma", "luma_local", "red", "blue")
CHANNELS = SHAPE_CHANNELS + COLOR_CHANNELS
HEIGHT_RADII_PX = (8, 24)
CONTRAST_RADIUS_PX = 16


def view_features(view: WorkingView) -> npt.NDArray[np.float32]:
    """Features (h, w, 10) float32 of about unit range, in the order of `CHANNELS`.

    Normals and heights are zero where the depth is unknown. A height is how far a pixel stands out towards the camera
    from the mean depth around it, relative to the radius of that neighbourhood. Colour is luminance, luminance against
    its surroundings, and two opponent channels that are zero for mono images.
    """
    features = np.empty((*view.depth_m.shape, len(CHANNELS)), np.float32)
    valid = (view.depth_m > 0).astype(np.float32)
    features[..., :3] = view.normals
    features[..., 2] += valid
    features[..., 3] = valid
    for channel, radius in enumerate(HEIGHT_RADII_PX, start=4):
        features[..., channel] = _height(view, valid, radius)
    features[..., len(SHAPE_CHANNELS) :] = color_features(view.color, view.is_mono)
    return features


def _height(view: WorkingView, valid: npt.NDArray[np.float32], radius: int) -> npt.NDArray[np.float32]:
    size = (2 * radius + 1, 2 * radius + 1)
    weight = cv2.boxFilter(valid, -1, size)
    mean = cv2.boxFilter(view.depth_m, -1, size) / np.maximum(weight, 1e-4)
    height = (mean - view.depth_m) / (radius * view.gsd_m)
    return np.clip(height, -1.5, 1.5) * valid


def color_features(color: npt.NDArray[np.uint8], is_mono: bool) -> npt.NDArray[np.float32]:
    """Colour (h, w, 4) float32 of an image (h, w, 3), all in about [-1, 1], in the order of `COLOR_CHANNELS`.

    Luminance - 0.5, local contrast, the red-green and the blue-yellow opponent.
    """
    rgb = color.astype(np.float32) * np.float32(1 / 255)
    luma = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    size = (2 * CONTRAST_RADIUS_PX + 1,) * 2
    mean = cv2.boxFilter(luma, -1, size)
    deviation = np.sqrt(np.maximum(cv2.boxFilter(luma * luma, -1, size) - mean * mean, 0))
    out = np.zeros((*luma.shape, 4), np.float32)
    out[..., 0] = luma - 0.5
    out[..., 1] = np.clip((luma - mean) / (2 * deviation + 0.05), -1.5, 1.5)
    if not is_mono:
        total = rgb.sum(-1) + 0.15
        out[..., 2] = 2 * (rgb[..., 0] - rgb[..., 1]) / total
        out[..., 3] = 2 * (rgb[..., 2] - 0.5 * (rgb[..., 0] + rgb[..., 1])) / total
    return out
