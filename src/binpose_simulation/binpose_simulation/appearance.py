"""Colour of a rendered scene: materials, light, camera."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.camera import Camera
from binpose_core.geometry import FloatArray

from binpose_simulation.gbuffer import GBuffer
from binpose_simulation.pile import Pile


@dataclass(frozen=True)
class AppearanceConfig:
    """noise: largest standard deviation of the colour noise, of the full range."""

    noise: float = 0.03


def shade(
    rng: np.random.Generator, config: AppearanceConfig, pile: Pile, surfaces: GBuffer, camera: Camera, T_cam_world: FloatArray
) -> npt.NDArray[np.uint8]:
    """The colour image (H, W, 3) uint8."""
    albedo = np.empty((len(pile.mesh_ids) + 3, 3), np.float32)
    palette = {group: rng.uniform(0.1, 0.9, 3) for group in dict.fromkeys(pile.groups)}
    albedo[: len(pile.groups)] = [palette[group] for group in pile.groups]
    albedo[-3:] = rng.uniform(0.05, 0.9, (3, 3))
    light = rng.normal(size=3) * [0.5, 0.5, 0.1] - [0, 0, 1]
    light /= np.linalg.norm(light)
    diffuse = np.clip(surfaces.normals @ light.astype(np.float32), 0, 1)
    color = albedo[surfaces.surface_ids] * (0.2 + 0.8 * diffuse)[..., None] * rng.uniform(0.7, 1.4)
    color += rng.standard_normal(color.shape, np.float32) * (config.noise * rng.random())
    return (np.clip(color, 0, 1) * 255).astype(np.uint8)
