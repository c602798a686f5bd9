"""Several views of one pile by one camera, as a wrist camera takes them or several fixed cameras of one kind."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation.pile import Pile
from binpose_simulation.scene import SceneConfig, SimulatedView, ViewRenderer, render_view
from binpose_simulation.sensor import SensorConfig
from binpose_simulation.view_set_config import ViewSetConfig
from binpose_simulation.viewpoint import look_at, random_camera, random_distance_m


def view_set(
    pile: Pile, rng: np.random.Generator, scene: SceneConfig, config: ViewSetConfig | None = None
) -> Iterator[SimulatedView]:
    """The views of a pile: one camera, one light, one kind of sensor, and its own noise in each view.

    Args:
        pile: settled.
        rng: decides everything.
        scene: ranges of camera, distance, appearance and sensor.
        config: number and directions of the views; by default the scene's.
    """
    config = config or scene.view_set or ViewSetConfig()
    seed = int(rng.integers(2**63))
    for number in range(config.views):
        yield view_of_set(pile, np.random.default_rng(seed), scene, config, number)


def view_of_set(
    pile: Pile,
    rng: np.random.Generator,
    scene: SceneConfig,
    config: ViewSetConfig,
    number: int,
    render: ViewRenderer = render_view,
) -> SimulatedView:
    """One view of a set; equal generators make views of the same set."""
    rng_camera, rng_sensor, rng_where, rng_look, *own = rng.spawn(4 + config.views)
    camera = random_camera(rng_camera, scene.viewpoint)
    kind, _ = scene.sensor.draw(rng_sensor)
    same_sensor = replace(scene, sensor=SensorConfig.only(kind))
    poses = viewpoints(pile, np.random.default_rng(0) if config.fixed else rng_where, scene, camera, config)
    return render(pile, own[number], same_sensor, camera, inverse(poses[number]), rng_look)


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
        aim = middle.copy()
        aim[:2] += rng.uniform(-1, 1, 2) * config.aim * (high - low)[:2] / 2
        up = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
        # A wrist keeps the image's lower edge towards the bin's outside.
        found.append(look_at(aim + distance_m * up, aim, azimuth - np.pi / 2))
    return found
