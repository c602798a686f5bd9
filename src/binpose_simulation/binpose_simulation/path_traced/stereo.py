"""Depth of an active stereo camera: two infrared images of a scene with projected dots, matched by OpenCV.

Nothing here knows the scene's geometry. Shiny faces that mirror the dots away, saturated spots, shadows and steep faces
leave holes or wrong depth, as with a real camera.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numba
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray
from binpose_simulation.path_traced.backend import mitsuba
from binpose_simulation.path_traced.config import StereoConfig
from binpose_simulation.path_traced.photo import infrared_light
from binpose_simulation.path_traced.surfaces import bitmap
from binpose_simulation.path_traced.traced_scene import TracedScene

FloatImage = npt.NDArray[np.float32]
FULL_SCALE = 255.0
SLACK_PX = 1e-3  # neighbours' corners meet: rounding must not open gaps between them


@dataclass(frozen=True, eq=False)
class StereoCamera:
    """Two rectified infrared cameras and a projector between them, mounted beside a colour camera.

    infrared: intrinsics of both. T_world_left, T_world_right, T_world_projector: (4, 4).
    """

    infrared: Camera
    T_world_left: FloatArray
    T_world_right: FloatArray
    T_world_projector: FloatArray


def stereo_camera(color: Camera, T_world_color: FloatArray, config: StereoConfig) -> StereoCamera:
    """The stereo camera of a colour camera at T_world_color (4, 4)."""
    focal = color.fx / config.wider
    infrared = Camera(focal, focal, (color.width - 1) / 2, (color.height - 1) / 2, color.width, color.height)
    at = [_shifted(T_world_color, x - config.offset_m) for x in (0.0, config.baseline_m, 0.55 * config.baseline_m)]
    return StereoCamera(infrared, *at)


def stereo_depth(
    scene: TracedScene,
    device: StereoCamera,
    color: Camera,
    range_m: tuple[float, float],
    config: StereoConfig,
    rng: np.random.Generator,
    pattern: np.random.Generator,
) -> FloatImage:
    """Depth (H, W) in the colour camera, 0 = not measured; `pattern` draws the dots."""
    left, right = infrared_images(scene, device, config, rng, pattern)
    depth_m = matched_depth(left, right, device.infrared.fx * config.baseline_m, range_m, config)
    return aligned_depth(depth_m, device.infrared, color, config.offset_m)


def infrared_images(
    scene: TracedScene,
    device: StereoCamera,
    config: StereoConfig,
    rng: np.random.Generator,
    pattern: np.random.Generator,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The left and the right image (H, W) uint8, with one exposure and each its own noise."""
    loaded = scene.load(config.ambient, {"dots": _projector(device, config, pattern)})
    light = [
        infrared_light(loaded, device.infrared, pose, config.samples, config.max_depth, int(rng.integers(2**31)))
        for pose in (device.T_world_left, device.T_world_right)
    ]
    gain = config.exposure / max(float(np.quantile(light[0], 0.97)), 1e-9)
    left, right = (_exposed(image * np.float32(gain), config, rng) for image in light)
    return left, right


def matched_depth(
    left: npt.NDArray[np.uint8],
    right: npt.NDArray[np.uint8],
    focal_baseline: float,
    range_m: tuple[float, float],
    config: StereoConfig,
) -> FloatImage:
    """Depth (H, W) of the left image, 0 where no match is found or trusted.

    Args:
        left: rectified image.
        right: the other one, whose camera is at +x.
        focal_baseline: focal length in pixels times baseline in metres.
        range_m: nearest and farthest depth that is searched.
        config: of the matcher.
    """
    least = int(focal_baseline / range_m[1])
    number = max(16 * int(np.ceil((focal_baseline / range_m[0] - least + 1) / 16)), 16)
    area = config.window_px**2
    matcher = cv2.StereoSGBM.create(
        minDisparity=least, numDisparities=number, blockSize=config.window_px, P1=2 * area, P2=24 * area,
        disp12MaxDiff=1, preFilterCap=31, uniquenessRatio=config.uniqueness, speckleWindowSize=config.speckle_px,
        speckleRange=1, mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )  # fmt: skip
    # the matcher leaves the first columns of an image without disparity
    pad = least + number
    padded = [cv2.copyMakeBorder(image, 0, 0, pad, 0, cv2.BORDER_CONSTANT) for image in (left, right)]
    disparity = matcher.compute(*padded)[:, pad:].astype(np.float32) / 16.0
    seen_twice = np.arange(left.shape[1]) - disparity >= 0
    trusted = (disparity >= max(least, 0.5)) & seen_twice & _textured(left, config)
    return np.where(trusted, np.float32(focal_baseline) / np.maximum(disparity, 0.5), 0).astype(np.float32)


def aligned_depth(depth_m: FloatImage, infrared: Camera, color: Camera, offset_m: float) -> FloatImage:
    """The left infrared camera's depth as the colour camera at +offset_m along x sees it; the nearest point wins."""
    aligned = np.zeros((color.height, color.width), np.float32)
    _align(depth_m, infrared.intrinsics, color.intrinsics, offset_m, aligned)
    return aligned


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _align(depth, source, target, offset, aligned):  # type: ignore[no-untyped-def]
    """Each pixel of the source covers the target's pixel centres that its corners enclose."""
    height, width = aligned.shape
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = depth[v, u]
            if z <= 0.0:
                continue
            low_x, high_x = (u - 0.5 - source[2]) / source[0], (u + 0.5 - source[2]) / source[0]
            low_y, high_y = (v - 0.5 - source[3]) / source[1], (v + 0.5 - source[3]) / source[1]
            u0 = max(int(np.ceil((low_x - offset / z) * target[0] + target[2] - SLACK_PX)), 0)
            u1 = min(int(np.floor((high_x - offset / z) * target[0] + target[2] + SLACK_PX)), width - 1)
            v0 = max(int(np.ceil(low_y * target[1] + target[3] - SLACK_PX)), 0)
            v1 = min(int(np.floor(high_y * target[1] + target[3] + SLACK_PX)), height - 1)
            for r in range(v0, v1 + 1):
                for c in range(u0, u1 + 1):
                    if aligned[r, c] == 0.0 or z < aligned[r, c]:
                        aligned[r, c] = z


def _textured(image: npt.NDArray[np.uint8], config: StereoConfig) -> npt.NDArray[np.bool_]:
    """(H, W) whether a window has contrast, and most of it is not saturated."""
    size = (config.window_px, config.window_px)
    values = image.astype(np.float32) / FULL_SCALE
    mean = cv2.blur(values, size)
    spread = np.sqrt(np.maximum(cv2.blur(values * values, size) - mean * mean, 0))
    saturated = cv2.blur((image >= FULL_SCALE).astype(np.float32), size)
    return np.asarray((spread > config.contrast) & (saturated < 0.5))


def _exposed(light: FloatImage, config: StereoConfig, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The 8-bit image of light, 1 = saturation, with lens blur, shot and read noise."""
    light = cv2.GaussianBlur(np.minimum(light, 50.0), (0, 0), 0.6)
    electrons = light * config.full_well
    noise = np.sqrt(electrons + config.read_noise**2) * rng.standard_normal(light.shape, np.float32)
    return np.clip((electrons + noise) * (FULL_SCALE / config.full_well) + 0.5, 0, FULL_SCALE).astype(np.uint8)


def _projector(device: StereoCamera, config: StereoConfig, rng: np.random.Generator) -> dict[str, Any]:
    """A projector of random dots whose picture covers both infrared images."""
    mi = mitsuba()
    camera = device.infrared
    wider = 1.25
    size = int(camera.width * wider), int(camera.height * wider)
    picture = (rng.random((size[1], size[0]), np.float32) < config.dots).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), config.dot_px) * np.float32(2 * np.pi * config.dot_px**2)
    angle = 2 * np.arctan(wider * camera.width / 2 / camera.fx)
    flipped = device.T_world_projector @ np.diag([-1.0, -1.0, 1.0, 1.0])
    return {
        "type": "projector",
        "irradiance": bitmap(np.repeat(np.minimum(picture, 1.0)[..., None], 3, -1)),
        "fov": float(np.degrees(angle)),
        "fov_axis": "x",
        "to_world": mi.ScalarTransform4f(flipped),
        "scale": config.dots_level,
    }


def _shifted(T_world_cam: FloatArray, x_m: float) -> FloatArray:
    """A pose moved along its own x axis."""
    moved = T_world_cam.copy()
    moved[:3, 3] += x_m * T_world_cam[:3, 0]
    return moved
