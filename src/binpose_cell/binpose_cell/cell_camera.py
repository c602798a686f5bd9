"""The fixed camera above the bin: all views of one bin have the same camera, lights and kind of sensor."""

from dataclasses import replace

import numpy as np

from binpose_cell.filled_bin import FilledBin, moved_pile
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation.bins import BinSpec
from binpose_simulation.example_scene import example_scene
from binpose_simulation.scene import SceneConfig, SimulatedView, ViewRenderer, render_view
from binpose_simulation.sensor import SensorConfig
from binpose_simulation.viewpoint import look_at, random_camera

SENSOR = "industrial"
FILL = 0.85
"""Fraction of the image that the rim of the bin fills in the tighter direction."""
TILT_RAD, ROLL_RAD = 0.15, 0.05
CAMERA, LOOK, NOISE = 0, 1, 2  # independent families of random numbers for one seed


class CellCamera:
    """A camera that looks down at a bin.

    Args:
        filled: the bin.
        seed: of viewpoint, light, materials, sensor and, unless `noise_seed` is given, noise.
        sensor: kind of the depth sensor, one of `binpose_simulation.sensor.SENSOR_KINDS`.
        scene: appearance.
        render: makes the images. `PathTracer` ignores `sensor`: its depth comes from a stereo pair.
        noise_seed: of the noise; bins before one camera differ in it.

    Raises:
        BinposeError: for an unknown kind of sensor.
    """

    def __init__(
        self,
        filled: FilledBin,
        seed: int,
        sensor: str = SENSOR,
        scene: SceneConfig | None = None,
        render: ViewRenderer = render_view,
        noise_seed: int | None = None,
    ) -> None:
        self._filled, self._seed, self._render = filled, seed, render
        self._noise_seed = seed if noise_seed is None else noise_seed
        rng = np.random.default_rng([seed, CAMERA])
        self._scene = scene = replace(scene or example_scene(), sensor=SensorConfig.only(sensor))
        self.camera = random_camera(rng, scene.viewpoint)
        self.T_cam_world = inverse(_above(rng, filled.spec, self.camera))

    def view(self, T_world_obj: FloatArray, number: int) -> SimulatedView:
        """The image of the parts at poses (N, 4, 4); `number` decides the noise."""
        pile = moved_pile(self._filled.pile, T_world_obj)
        rng = np.random.default_rng([self._noise_seed, NOISE, number])
        look = np.random.default_rng([self._seed, LOOK])
        return self._render(pile, rng, self._scene, self.camera, self.T_cam_world, look)


def _above(rng: np.random.Generator, spec: BinSpec, camera: Camera) -> FloatArray:
    """T_world_cam (4, 4) at a distance that shows the rim; the image's long side is along the bin's."""
    low, high = spec.inner_bounds(spec.height_m)
    focal = np.array([camera.fx / camera.width, camera.fy / camera.height])
    distance = float(((high - low) * focal).max()) / FILL + spec.height_m
    tilt, azimuth = TILT_RAD * rng.random(), rng.uniform(-np.pi, np.pi)
    up = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    target = np.array([0.0, 0.0, spec.height_m / 3])
    return look_at(target + distance * up, target, ROLL_RAD * rng.normal())
