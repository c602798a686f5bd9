"""The colour image of a path-traced scene."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray
from binpose_simulation.path_traced.backend import denoiser, mitsuba
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.path_traced.traced_scene import sensor

FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Guides:
    """What the denoiser knows of each pixel: albedo (H, W, 3) in [0, 1] and unit normals (H, W, 3)."""

    albedo: FloatImage
    normals: FloatImage


def traced_light(
    scene: Any, camera: Camera, T_world_cam: FloatArray, guides: Guides, config: PathTracedConfig, seed: int
) -> FloatImage:
    """Linear light (H, W, 3) that reaches a camera in the world."""
    light = np.ascontiguousarray(_rendered(scene, camera, T_world_cam, config.max_depth, config.samples, seed)[..., :3])
    # the path tracer has one focal length: its image is scaled along its height afterwards
    scale = camera.fy / camera.fx
    if config.denoise:
        albedo, normals = (_scaled(guide, camera, 1.0 / scale) for guide in (guides.albedo, guides.normals))
        light = denoiser()(light, albedo=albedo, normal=normals, hdr=True)
    return np.maximum(_scaled(light, camera, scale), 0.0)


def infrared_light(
    scene: Any, camera: Camera, T_world_cam: FloatArray, samples: int, max_depth: int, seed: int
) -> FloatImage:
    """Linear light (H, W) that reaches an infrared camera."""
    light = _rendered(scene, camera, T_world_cam, max_depth, samples, seed)
    return np.ascontiguousarray(light[..., :3].mean(-1))


def _rendered(
    scene: Any, camera: Camera, T_world_cam: FloatArray, max_depth: int, samples: int, seed: int
) -> FloatImage:
    """The image (H, W, C); without Russian roulette, whose noise outweighs the time that it saves at these lengths."""
    mi = mitsuba()
    paths = mi.load_dict({"type": "path", "max_depth": max_depth, "rr_depth": 2 * max_depth})
    image = mi.render(scene, sensor=sensor(camera, T_world_cam), integrator=paths, spp=samples, seed=seed)
    return np.nan_to_num(np.array(image, np.float32), posinf=0.0, neginf=0.0)


def _scaled(image: npt.NDArray[np.floating], camera: Camera, scale: float) -> FloatImage:
    """The image, scaled along its height about the principal point."""
    image = np.ascontiguousarray(image, np.float32)
    if scale == 1.0:
        return image
    moved = np.array([[1.0, 0.0, 0.0], [0.0, scale, camera.cy * (1.0 - scale)]])
    size = (camera.width, camera.height)
    return np.asarray(
        cv2.warpAffine(image, moved, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
