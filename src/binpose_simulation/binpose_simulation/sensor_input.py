"""What a depth sensor looks at, and which of it sends enough light back."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numba
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, NOT_NEGATIVE, check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation.sensor_noise import advance, exponential, random_fraction, seed_of, smooth_field

FloatImage = npt.NDArray[np.float32]
FIELD_PX = 12


@dataclass(frozen=True, eq=False)
class SensorInput:
    """The scene as the sensor's camera sees it, all (H, W).

    depth_m: true depth, 0 = nothing. normals: (H, W, 3) camera frame, turned towards the camera.
    camera: of the depth image. signal: the projector's light that comes back from each pixel, any unit.
    stray: light mirrored from elsewhere, same unit. projector_lit: fraction of the projector's light that arrives, or,
    for stereo, whether the second camera sees the point; 0 = shadow.
    reference: bool, the pixels for whose median signal the sensor is set up; default all.
    """

    depth_m: FloatImage
    normals: FloatImage
    camera: Camera
    signal: FloatImage | None = None
    stray: FloatImage | None = None
    projector_lit: FloatImage | None = None
    reference: npt.NDArray[np.bool_] | None = None

    @cached_property
    def light(self) -> FloatImage:
        """(H, W) the signal, 1 where none is given."""
        return np.ones_like(self.depth_m) if self.signal is None else self.signal

    @cached_property
    def median_light(self) -> float:
        """Median signal of the lit pixels for which the sensor is set up."""
        metered = self.depth_m > 0
        if self.projector_lit is not None:
            metered &= self.projector_lit > 0.5
        if self.reference is not None and (metered & self.reference).any():
            metered &= self.reference
        seen = self.light[::4, ::4][metered[::4, ::4]]
        return max(float(np.median(seen)), 1e-6) if seen.size else 1.0


@dataclass(frozen=True)
class Optics:
    """Where a sensor with a light source of its own gets a value.

    baseline_m, azimuth_rad: distance and direction (0 = image x, towards y) of the projector, or of the second camera.
    slant_cosine: faces seen under a smaller cosine are lost.
    weakest, strongest: limits of the signal, relative to the image's median.
    stray: largest mirrored light, relative to the pixel's own signal.
    dropout: probability of a lone hole. blobs: mean number of round holes. uneven: unevenness of the limits above.
    shadow: whether pixels out of the projector's (the second camera's) sight are lost.
    reach_m: what is farther away is not seen.
    """

    baseline_m: float = setting(0.12, bounds=NOT_NEGATIVE)
    azimuth_rad: float = 0.0
    slant_cosine: float = setting(0.0, bounds=FRACTION)
    weakest: float = 0.0
    strongest: float = np.inf
    stray: float = setting(np.inf, bounds=NOT_NEGATIVE)
    dropout: float = setting(0.0, bounds=FRACTION)
    blobs: float = setting(0.0, bounds=NOT_NEGATIVE)
    uneven: float = setting(0.0, bounds=NOT_NEGATIVE)
    shadow: bool = False
    reach_m: float = setting(5.0, bounds=NOT_NEGATIVE)

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.weakest <= self.strongest:
            raise BinposeError(f"Optics: weakest {self.weakest} must not exceed strongest {self.strongest}.")

    def projector_m(self, T_cam_world: FloatArray) -> FloatArray:
        """(3,) the projector's place in the world."""
        offset = self.baseline_m * np.array([np.cos(self.azimuth_rad), np.sin(self.azimuth_rad), 0.0])
        T_world_cam = inverse(T_cam_world)
        return T_world_cam[:3, :3] @ offset + T_world_cam[:3, 3]

    def received(self, rng: np.random.Generator, scene: SensorInput) -> npt.NDArray[np.bool_]:
        """(H, W) pixels whose light the sensor can use."""
        height, width = scene.depth_m.shape
        ones = np.ones_like(scene.depth_m)
        lit = scene.projector_lit if self.shadow and scene.projector_lit is not None else ones
        stray = np.zeros_like(scene.depth_m) if scene.stray is None else scene.stray
        middle = scene.median_light
        limits = np.array([
            self.slant_cosine, self.weakest * middle, self.strongest * middle, self.stray, self.dropout, self.uneven,
            self.reach_m,
        ], np.float64)  # fmt: skip
        result = np.zeros((height, width), np.bool_)
        uneven = smooth_field(rng, height, width, FIELD_PX)
        _receive(scene.depth_m, scene.normals, scene.light, stray, lit, uneven, limits, seed_of(rng), result)
        return result

    def punch(self, rng: np.random.Generator, depth_m: FloatImage) -> None:
        """Put the round holes into a measured depth image, in place."""
        height, width = depth_m.shape
        for _ in range(rng.poisson(self.blobs)):
            center = int(rng.integers(width)), int(rng.integers(height))
            axes = tuple(int(a) for a in np.ceil(rng.exponential(0.008, 2) * width))
            cv2.ellipse(depth_m, center, axes, float(rng.integers(180)), 0, 360, 0.0, -1)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _receive(depth, normals, signal, stray, lit, uneven, limits, seed, result):  # type: ignore[no-untyped-def]
    slant_limit, weakest, strongest, stray_limit, dropout, unevenness, reach = limits
    height, width = depth.shape
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            if not 0.0 < depth[v, u] <= reach or lit[v, u] < 0.5:
                continue
            state = advance(state)
            x = exponential(unevenness * uneven[v, u])
            x *= np.float32(0.75) + np.float32(0.5) * random_fraction(state >> np.uint64(48))
            if -normals[v, u, 2] < slant_limit * x or signal[v, u] < weakest * x or signal[v, u] * x > strongest:
                continue
            if stray[v, u] * x > stray_limit * signal[v, u]:
                continue
            result[v, u] = random_fraction(state) >= dropout
