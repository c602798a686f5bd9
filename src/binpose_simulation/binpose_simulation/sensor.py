"""A depth sensor: from the depth that is there to the depth that is measured."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.camera import Camera

from binpose_simulation.gbuffer import GBuffer


@dataclass(frozen=True)
class SensorConfig:
    """noise_at_1m: largest standard deviation at 1 m, growing with the square of the distance."""

    noise_at_1m: float = 0.002


def sense(
    rng: np.random.Generator, config: SensorConfig, surfaces: GBuffer, camera: Camera
) -> npt.NDArray[np.float32]:
    """The measured depth (H, W) float32, 0 = hole."""
    depth = surfaces.depth_m
    slant = np.maximum(-surfaces.normals[..., 2], 0.05)
    sigma = config.noise_at_1m * rng.random() * depth**2 / slant
    noisy = depth + sigma * rng.standard_normal(depth.shape, np.float32)
    kept = (slant > 0.2) & (rng.random(depth.shape, np.float32) > 0.02)
    return np.where((depth > 0) & kept, noisy, 0).astype(np.float32)
