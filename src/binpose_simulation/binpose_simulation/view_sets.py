"""Several views of one pile by one camera, as a wrist camera takes them or several fixed cameras of one kind."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation.pile import Pile
from binpose_simulation.scene import SceneConfig, SimulatedView, render_view
from binpose_simulation.sensor import SensorConfig
from binpose_simulation.viewpoint import check_range, look_at, random_camera, random_distance_m


@dataclass(frozen=True)
class ViewSetConfig:
    """Where the cameras of a set are.

    views: number of views of each pile.
    tilt_rad: least and largest angle between optical axis and vertical.
    jitter: random part of the direction around the bin, as a fraction of the angle between neighbouring views.
    aim: largest offset of the optical axis from the bin's centre, in half bin sizes.
    fixed: the same directions for every pile, as with cameras on a frame; otherwise each pile has its own.
    """

    views: int = setting(3, bounds=(1, 100))
    tilt_rad: tuple[float, float] = (0.2, 0.6)
    jitter: float = setting(0.25, bounds=(0.0, 1.0))
    aim: float = setting(0.15, bounds=(0.0, 1.0))
    fixed: bool = False

    def __post_init__(self) -> None:
        check_bounds(self)
        check_range(type(self).__name__, "tilt_rad", self.tilt_rad, 0.0, 1.2)


def view_set(
    pile: Pile, rng: np.random.Generator, scene: SceneConfig, config: ViewSetConfig | None = None
) -> Iterator[SimulatedView]:
    """The views of a pile: one camera, one light, one kind of sensor, and its own noise in each view.

    Args:
        pile: settled.
        rng: decides everything.
        scene: ranges of camera, distance, appearance and sensor.
        config: number and directions of the views.
    """
    config = config or ViewSetConfig()
    rng_camera, rng_sensor, rng_where = rng.spawn(3)
    camera = random_camera(rng_camera, scene.viewpoint)
    kind, _ = scene.sensor.draw(rng_sensor)
    same_sensor = replace(scene, sensor=SensorConfig.only(kind))
    look_seed = int(rng.integers(2**63))
    poses = viewpoints(pile, np.random.default_rng(0) if config.fixed else rng_where, scene, camera, config)
    for T_world_cam, own in zip(poses, rng.spawn(config.views), strict=True):
        yield render_view(pile, own, same_sensor, camera, inverse(T_world_cam), np.random.default_rng(look_seed))


def viewpoints(
    pile: Pile, rng: np.random.Generator, scene: SceneConfig, camera: Camera, config: ViewSetConfig
) -> list[FloatArray]:
    """T_world_cam (4, 4) of each view, evenly spread around the bin, all about equally far away."""
    low, high = pile.bin_boxes[0]
    middle = np.array([*(low + high)[:2] / 2, 0.3 * high[2]])
    length_m = float((high - low)[:2].max())
    typical_m = float(np.median(pile.diameters_m)) if len(pile.diameters_m) else length_m / 8
    clearance_m = float(high[2]) + 0.1 + length_m / 2
    distance_m = random_distance_m(rng, scene.viewpoint, camera, length_m, typical_m, clearance_m)
    first, step = rng.uniform(-np.pi, np.pi), 2 * np.pi / config.views
    found = []
    for number in range(config.views):
        azimuth = first + step * (number + config.jitter * rng.uniform(-0.5, 0.5))
        tilt = rng.uniform(*config.tilt_rad)
        aim = middle + [*(rng.uniform(-1, 1, 2) * config.aim * (high - low)[:2] / 2), 0.0]
        up = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
        # A wrist keeps the image's lower edge towards the bin's outside.
        found.append(look_at(aim + distance_m * up, aim, azimuth - np.pi / 2))
    return found
