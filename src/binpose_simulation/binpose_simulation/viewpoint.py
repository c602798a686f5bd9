"""Random viewpoints above a bin, at a distance that shows the parts at the wanted size."""

from dataclasses import dataclass

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse


def check_range(owner: str, name: str, bounds: tuple[float, float], low: float, high: float) -> None:
    """Raise BinposeError unless low <= bounds[0] <= bounds[1] <= high."""
    if len(bounds) != 2 or not low <= bounds[0] <= bounds[1] <= high:
        raise BinposeError(f"{owner}.{name} must be (smallest, largest) within [{low:g}, {high:g}], got {bounds}.")


@dataclass(frozen=True)
class ViewpointConfig:
    """Ranges of cameras and viewpoints.

    width, height: image size in pixels.
    fov_rad: horizontal field of view.
    part_size_px: wanted diameter of the median part in the image; sets the distance.
    bin_fill: least fraction of the image's width that the bin fills, as far as part_size_px allows.
    gsd_m: wanted metres per pixel at the centre of the pile; sets the distance and overrides the two above.
    distance_m: limits of the distance to the centre of the pile.
    tilt_rad: usual largest angle between optical axis and vertical; steep_tilt_rad with probability steep_share.
    aim: largest offset of the optical axis from the bin's centre, in half bin sizes (1 = its edge).
    roll_aligned_share: probability that the image axes follow the bin's, within a few degrees.
    """

    width: int = 640
    height: int = 480
    fov_rad: tuple[float, float] = (0.6, 1.2)
    part_size_px: tuple[float, float] = (42.0, 160.0)
    bin_fill: tuple[float, float] = (0.3, 0.9)
    gsd_m: tuple[float, float] | None = None
    distance_m: tuple[float, float] = (0.25, 2.5)
    tilt_rad: float = 0.44
    steep_tilt_rad: float = 0.8
    steep_share: float = setting(0.1, bounds=FRACTION)
    aim: float = 0.7
    roll_aligned_share: float = setting(0.4, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)
        name = type(self).__name__
        if self.width < 32 or self.height < 32:
            raise BinposeError(f"{name}: images of at least 32x32 pixels, got {self.width}x{self.height}.")
        check_range(name, "fov_rad", self.fov_rad, 0.05, 2.6)
        check_range(name, "part_size_px", self.part_size_px, 4.0, 4000.0)
        if self.gsd_m is not None:
            check_range(name, "gsd_m", self.gsd_m, 1e-5, 0.1)
        check_range(name, "bin_fill", self.bin_fill, 0.0, 10.0)
        check_range(name, "distance_m", self.distance_m, 0.05, 20.0)
        check_range(name, "tilt_rad, steep_tilt_rad", (self.tilt_rad, self.steep_tilt_rad), 0.0, 1.4)
        check_range(name, "aim", (0.0, self.aim), 0.0, 3.0)


def random_camera(rng: np.random.Generator, config: ViewpointConfig) -> Camera:
    """A pinhole camera with a random field of view and a slightly displaced principal point."""
    focal = config.width / 2 / np.tan(rng.uniform(*config.fov_rad) / 2)
    cx = (config.width - 1) / 2 + rng.normal() * 0.01 * config.width
    cy = (config.height - 1) / 2 + rng.normal() * 0.01 * config.height
    fy = focal * rng.uniform(0.997, 1.003)
    return Camera(float(focal), float(fy), float(cx), float(cy), config.width, config.height)


def random_viewpoint(
    rng: np.random.Generator,
    config: ViewpointConfig,
    camera: Camera,
    target_m: FloatArray,
    half_size_m: FloatArray,
    part_diameter_m: float,
    clearance_m: float,
) -> FloatArray:
    """T_cam_world (4, 4) of a camera pointed down at a bin.

    Args:
        rng: random number generator.
        config: ranges.
        camera: its focal length converts sizes in pixels to distances.
        target_m: (3,) centre of the bin's content in the world, z up.
        half_size_m: (2,) half inner size of the bin.
        part_diameter_m: diameter of the median part.
        clearance_m: least height of the camera above the target.
    """
    aim = np.asarray(target_m, np.float64).copy()
    aim[:2] += rng.uniform(-1, 1, 2) * config.aim * half_size_m
    size_px = _part_size_px(rng, config, part_diameter_m, 2.0 * float(np.max(half_size_m)))
    largest = config.steep_tilt_rad if rng.random() < config.steep_share else config.tilt_rad
    tilt, azimuth = largest * np.sqrt(rng.random()), rng.uniform(-np.pi, np.pi)
    distance = np.clip(camera.fx * part_diameter_m / size_px, *config.distance_m)
    distance = max(distance, (clearance_m + 0.1) / np.cos(tilt))
    up = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    T_world_cam = look_at(aim + distance * up, aim, _roll(rng, config.roll_aligned_share))
    return inverse(T_world_cam)


def random_distance_m(
    rng: np.random.Generator,
    config: ViewpointConfig,
    camera: Camera,
    bin_length_m: float,
    part_diameter_m: float,
    clearance_m: float,
) -> float:
    """A distance to the centre of the pile that shows the parts at a wanted size.

    Args:
        rng: random number generator.
        config: ranges.
        camera: its focal length converts sizes in pixels to distances.
        bin_length_m: longer inner side of the bin.
        part_diameter_m: diameter of the median part.
        clearance_m: least distance.
    """
    size_px = _part_size_px(rng, config, part_diameter_m, bin_length_m)
    return max(float(np.clip(camera.fx * part_diameter_m / size_px, *config.distance_m)), clearance_m)


def _part_size_px(
    rng: np.random.Generator, config: ViewpointConfig, part_diameter_m: float, bin_length_m: float
) -> float:
    """The wanted size of the median part."""
    if config.gsd_m is not None:
        return part_diameter_m / float(np.exp(rng.uniform(*np.log(config.gsd_m))))
    size_px = float(np.exp(rng.uniform(*np.log(config.part_size_px))))
    filling_px = rng.uniform(*config.bin_fill) * config.width * part_diameter_m / bin_length_m
    return min(max(size_px, filling_px), config.part_size_px[1])


def _roll(rng: np.random.Generator, aligned_share: float) -> float:
    if rng.random() < aligned_share:
        return rng.integers(4) * np.pi / 2 + rng.normal() * 0.05
    return rng.uniform(-np.pi, np.pi)


def rounded(values: FloatArray, digits: int = 9) -> FloatArray:
    """Round to this many decimals: the last bits of a product of matrices depend on the processor."""
    return np.round(values, digits)


def look_at(position_m: FloatArray, target_m: FloatArray, roll_rad: float = 0.0) -> FloatArray:
    """T_world_cam (4, 4) of an optical frame at position_m (3,) that points at target_m (3,).

    roll_rad: angle between the image's x axis and the world's x axis, projected into the image.
    """
    forward = np.asarray(target_m, np.float64) - position_m
    forward /= np.linalg.norm(forward)
    wanted = np.array([np.cos(roll_rad), np.sin(roll_rad), 0.0])
    right = wanted - forward * (forward @ wanted)
    if np.linalg.norm(right) < 1e-6:
        right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return from_rotation_translation(np.stack([right, np.cross(forward, right), forward], -1), position_m)
