"""The colour image of a path-traced scene."""

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


def traced_light(
    scene: Any, camera: Camera, T_world_cam: FloatArray, config: PathTracedConfig, seed: int
) -> FloatImage:
    """Linear light (H, W, 3) that reaches a camera in the world."""
    path = _paths(config.max_depth)
    if not config.denoise:
        return _as_seen(_rendered(scene, camera, T_world_cam, path, config.samples, seed)[..., :3], camera)
    guided = {"type": "aov", "aovs": "albedo:albedo,normal:sh_normal", "image": path}
    channels = _rendered(scene, camera, T_world_cam, guided, config.samples, seed)
    color, albedo, normal = (np.ascontiguousarray(channels[..., k : k + 3]) for k in (0, 3, 6))
    return _as_seen(denoiser()(color, albedo=np.clip(albedo, 0, 1), normal=normal, hdr=True), camera)


def infrared_light(
    scene: Any, camera: Camera, T_world_cam: FloatArray, samples: int, max_depth: int, seed: int
) -> FloatImage:
    """Linear light (H, W) that reaches an infrared camera."""
    channels = _rendered(scene, camera, T_world_cam, _paths(max_depth), samples, seed)
    return np.ascontiguousarray(channels[..., :3].mean(-1))


def _paths(max_depth: int) -> dict[str, Any]:
    """An integrator; without Russian roulette, whose noise is greater than the time that it saves at this length."""
    return {"type": "path", "max_depth": max_depth, "rr_depth": 2 * max_depth}


def _rendered(
    scene: Any, camera: Camera, T_world_cam: FloatArray, integrator: dict[str, Any], samples: int, seed: int
) -> FloatImage:
    """All channels (H, W, C) of an integrator."""
    mi = mitsuba()
    image = mi.render(
        scene, sensor=sensor(camera, T_world_cam), integrator=mi.load_dict(integrator), spp=samples, seed=seed
    )
    return np.array(image, np.float32)


def _as_seen(light: npt.NDArray[np.floating], camera: Camera) -> FloatImage:
    """The image with the camera's own focal length along its height."""
    light = np.nan_to_num(np.ascontiguousarray(light, np.float32), posinf=0.0, neginf=0.0)
    scale = camera.fy / camera.fx
    if scale == 1.0:
        return light
    moved = np.array([[1.0, 0.0, 0.0], [0.0, scale, camera.cy * (1.0 - scale)]])
    size = (camera.width, camera.height)
    bent = cv2.warpAffine(light, moved, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.maximum(bent, 0.0), np.float32)
