"""Light around a bin: area lights above it, and the room that shiny parts mirror."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_simulation.path_traced.backend import mitsuba
from binpose_simulation.path_traced.config import RoomConfig
from binpose_simulation.viewpoint import look_at

ROOM_PX = (64, 128)


@dataclass(frozen=True, eq=False)
class Panel:
    """A rectangular area light.

    T_world_panel: (4, 4), z towards the bin. half_m: half its sides. radiance: (3,).
    """

    T_world_panel: FloatArray
    half_m: tuple[float, float]
    radiance: FloatArray


@dataclass(frozen=True, eq=False)
class Room:
    """Panels, and the light (H, W, 3) from all directions, as latitude and longitude about the world's z axis.

    A white sheet under the panels has a radiance of about 1 / pi.
    """

    panels: tuple[Panel, ...]
    surroundings: npt.NDArray[np.float32]

    def emitters(self, level: float) -> dict[str, Any]:
        """The emitters, as bright as this factor says."""
        mi = mitsuba()
        z_up = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
        found: dict[str, Any] = {
            "room": {
                "type": "envmap", "bitmap": mi.Bitmap(self.surroundings * np.float32(level)), "to_world": z_up,
            }
        }  # fmt: skip
        for number, panel in enumerate(self.panels):
            size = np.diag([*panel.half_m, 1.0, 1.0])
            found[f"panel{number}"] = {
                "type": "rectangle",
                "to_world": mi.ScalarTransform4f(panel.T_world_panel @ size),
                "bsdf": {"type": "diffuse", "reflectance": 0.5},
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": (panel.radiance * level).tolist()}},
            }
        return found


def random_room(rng: np.random.Generator, config: RoomConfig, target_m: FloatArray) -> Room:
    """A room with panels above the point target_m (3,)."""
    number = int(rng.integers(config.panels[0], config.panels[1] + 1))
    shares = rng.dirichlet(np.full(number, 2.0))
    tint = 1 + rng.normal(size=3) * 0.04
    panels = tuple(_panel(rng, config, target_m, float(share), tint) for share in shares)
    level = float(np.exp(rng.uniform(*np.log(config.room_level)))) / np.pi
    return Room(panels, _surroundings(rng, level))


def _panel(rng: np.random.Generator, config: RoomConfig, target_m: FloatArray, share: float, tint: FloatArray) -> Panel:
    """A panel whose light on a white sheet at the target has this share of the radiance 1 / pi."""
    low, high = np.log(config.panel_m)
    sides = np.exp(rng.uniform(low, high, 2))
    tilt, azimuth = rng.uniform(0.1, 0.8), rng.uniform(-np.pi, np.pi)
    up = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    distance = float(rng.uniform(*config.height_m)) / np.cos(tilt)
    pose = look_at(target_m + up * distance, target_m, float(rng.uniform(-np.pi, np.pi)))
    irradiance = sides[0] * sides[1] * np.cos(tilt) / distance**2
    return Panel(pose, (sides[0] / 2, sides[1] / 2), share * tint / irradiance)


def _surroundings(rng: np.random.Generator, level: float) -> npt.NDArray[np.float32]:
    """Walls, floor and ceiling, with lamps, perhaps windows, and dark and bright things before the walls."""
    height, width = ROOM_PX
    elevation = np.linspace(1, -1, height)[:, None, None]
    wall, ceiling = level * rng.uniform(0.5, 1.0, 3), level * rng.uniform(0.8, 1.4)
    wall = wall.mean() + 0.4 * (wall - wall.mean())
    image = np.where(elevation > 0.45, ceiling, np.where(elevation < -0.2, 0.35 * wall, wall * (1 + 0.4 * elevation)))
    image = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)), np.float32)
    for _ in range(int(rng.integers(4, 12))):  # cabinets, machines, people
        _box(rng, image, (0.35, 0.6), (0.05, 0.25), wall * np.exp(rng.normal(-0.7, 0.8)) * rng.uniform(0.7, 1.3, 3))
    for _ in range(int(rng.integers(2, 7))):  # lamps at the ceiling
        _box(rng, image, (0.02, 0.25), (0.02, 0.1), np.full(3, level * rng.uniform(4, 25)))
    for _ in range(int(rng.integers(0, 3))):  # windows
        _box(rng, image, (0.25, 0.45), (0.05, 0.15), level * rng.uniform(3, 10) * np.array([0.85, 0.95, 1.1]))
    return np.maximum(cv2.GaussianBlur(image, (0, 0), 0.7), 0.0)


def _box(
    rng: np.random.Generator,
    image: npt.NDArray[np.float32],
    rows: tuple[float, float],
    size: tuple[float, float],
    rgb: FloatArray,
) -> None:
    height, width = image.shape[:2]
    top, left = rng.uniform(*rows) * height, rng.uniform(0, 1) * width
    tall, wide = rng.uniform(*size, 2) * height
    color = tuple(float(c) for c in rgb)
    cv2.rectangle(image, (int(left), int(top)), (int(left + wide), int(top + tall)), color, -1)
