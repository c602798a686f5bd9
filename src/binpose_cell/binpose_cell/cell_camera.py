"""The fixed camera above the bin: all views of one bin have the same camera, lights and kind of sensor."""

from dataclasses import replace

import numpy as np

from binpose_cell.filled_bin import FilledBin, moved_pile
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation.bins import BinSpec
from binpose_simulation.example_scene import example_scene
from binpose_simulation.scene import SceneConfig, SimulatedView, render_view
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
        seed: of viewpoint, light, materials, sensor and noise.
        sensor: kind of the depth sensor.
        scene: appearance.

    Raises:
        BinposeError: for an unknown kind of sensor.
    """

    def __init__(self, filled: FilledBin, seed: int, sensor: str = SENSOR, scene: SceneConfig | None = None) -> None:
        self._filled, self._seed = filled, seed
        rng = np.random.default_rng([seed, CAMERA])
        self._scene = scene = replace(scene or example_scene(), sensor=SensorConfig.only(sensor))
        self.camera = random_camera(rng, scene.viewpoint)
        self.T_cam_world = inverse(_above(rng, filled.spec, self.camera))

    def view(self, T_world_obj: FloatArray, number: int) -> SimulatedView:
        """The image of the parts at poses (N, 4, 4); `number` decides the noise."""
        pile, rng = moved_pile(self._filled.pile, T_world_obj), np.random.default_rng([self._seed, NOISE, number])
        look = np.random.default_rng([self._seed, LOOK])
        return render_view(pile, rng, self._scene, self.camera, self.T_cam_world, look)


def _above(rng: np.random.Generator, spec: BinSpec, camera: Camera) -> FloatArray:
    """T_world_cam (4, 4) at a distance that shows the rim; the image's long side is along the bin's."""
    low, high = spec.inner_bounds(spec.height_m)
    focal = np.array([camera.fx / camera.width, camera.fy / camera.height])
    distance = float(((high - low) * focal).max()) / FILL + spec.height_m
    tilt, azimuth = TILT_RAD * rng.random(), rng.uniform(-np.pi, np.pi)
    up = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    target = np.array([0.0, 0.0, spec.height_m / 3])
    return look_at(target + distance * up, target, ROLL_RAD * rng.normal())
