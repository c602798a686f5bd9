"""Time-of-flight cameras (Kinect v2, Azure Kinect, RealSense L515, Helios).

A pixel measures the phase of all light that it gets. Where it sees front and back at once the phase lies between them
(flying pixels). Light that reached the pixel by way of another surface took longer: concave corners come out rounded
and too far away (multipath). The error of the phase has a systematic, periodic part (wiggling), one that depends on the
amount of light, and noise that grows as less light comes back.

Sources: Foix, Alenya and Torras, "Lock-in time-of-flight cameras: a survey", IEEE Sensors 2011; Hansard, Lee, Choi and
Horaud, "Time-of-flight cameras", Springer 2013 (wiggling, flying pixels, intensity); Fuchs, "Multipath interference
compensation in time-of-flight camera images", ICPR 2010 (one bounce between all pairs of patches); Kurillo, Hemingway,
Cheng and Cheng, "Evaluating the accuracy of the Azure Kinect and Kinect v2", Sensors 2022 (noise of 1 to 2 mm and
errors of a few millimetres within 1.5 m).
"""

from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, NOT_NEGATIVE, setting
from binpose_core.frames.camera import Camera
from binpose_simulation.depth_sensor import DepthSensor
from binpose_simulation.sensor_input import FloatImage, Optics, SensorInput
from binpose_simulation.sensor_noise import advance, interpolate, normal, random_fraction, seed_of, sine, stepped

CELL_PX = 16
REACH_CELLS = 8
"""Of the multipath: light from patches farther away in the image is left out."""


@dataclass(frozen=True)
class TimeOfFlight(DepthSensor):
    """One time-of-flight camera.

    noise_m: standard deviation of a bright pixel near by; noise_per_m: its growth with the squared distance.
    footprint: weight of a neighbour's light in a pixel, 0 = none, 1 = as much as its own.
    edge_m_per_m: range of depths in 3x3 pixels, per metre of distance, that counts as an edge.
    edge_drop: probability that a pixel at an edge is recognised as flying, and lost.
    bounce: reflectance of all surfaces for the light that reaches a pixel by way of another; 0 = no multipath.
    wiggle_m, wiggle_period_m, wiggle_phase: periodic error of the distance; the phase in turns.
    dark_m: distance by which a pixel of half the median light seems farther away (negative: nearer).
    offset_m, scale: errors of the calibration.
    quantum_m: step of the depth values, 0 = continuous.
    """

    optics: Optics = field(default_factory=lambda: Optics(baseline_m=0.0))
    noise_m: float = setting(0.0, bounds=NOT_NEGATIVE)
    noise_per_m: float = setting(0.0, bounds=NOT_NEGATIVE)
    footprint: float = setting(0.0, bounds=FRACTION)
    edge_m_per_m: float = 0.02
    edge_drop: float = setting(0.0, bounds=FRACTION)
    bounce: float = setting(0.0, bounds=FRACTION)
    wiggle_m: float = setting(0.0, bounds=NOT_NEGATIVE)
    wiggle_period_m: float = 0.4
    wiggle_phase: float = 0.0
    dark_m: float = 0.0
    offset_m: float = 0.0
    scale: float = 1.0
    quantum_m: float = setting(0.0, bounds=NOT_NEGATIVE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.scale > 0.0 and self.wiggle_period_m > 0.0):
            raise BinposeError(f"TimeOfFlight: scale and wiggle_period_m must be positive, got {self}.")

    def measure(self, rng: np.random.Generator, scene: SensorInput, received: npt.NDArray[np.bool_]) -> FloatImage:
        """Depth (H, W): each pixel's light, mixed with its neighbours'."""
        shape = scene.depth_m.shape
        longer = np.zeros(shape, np.float32)
        if self.bounce > 0.0:
            grid = multipath(scene.depth_m, scene.normals, scene.camera, self.bounce)
            interpolate(grid, np.float32(1.0 / CELL_PX), longer)
        errors = np.array([
            self.noise_m, self.noise_per_m, self.wiggle_m, 1.0 / self.wiggle_period_m, self.wiggle_phase, self.dark_m,
            self.offset_m, self.scale,
        ])  # fmt: skip
        pixels = np.array([self.footprint, self.edge_m_per_m, self.edge_drop, self.quantum_m])
        seen = np.zeros(shape, np.float32)
        # the mean over 3x3 pixels lowers the noise by this much, which the pixels' own makes good for
        weights = 1.0 + 4.0 * self.footprint + 4.0 * self.footprint**2
        errors[:2] *= weights / (1.0 + 4.0 * self.footprint**2 + 4.0 * self.footprint**4) ** 0.5
        _expose(scene.depth_m, scene.light, longer, errors, scene.median_light, seed_of(rng), seen)
        measured = np.zeros(shape, np.float32)
        _mix(seen, scene.depth_m, scene.light, received, pixels, 1e-3 * scene.median_light, seed_of(rng), measured)
        return measured


def multipath(depth_m: FloatImage, normals: FloatImage, camera: Camera, bounce: float) -> npt.NDArray[np.float32]:
    """By how much one bounce lengthens the measured distance, on a grid with a node every CELL_PX pixels, metres.

    A patch of area A at distance r, with cosines a and b at its ends, sends bounce * a * b * A / (pi r^2) of its light
    to a pixel (Fuchs 2010); the distance seems longer by the mean of half the detours, so weighted.
    """
    height, width = depth_m.shape
    rows = np.minimum(np.arange(height // CELL_PX + 2) * CELL_PX, height - 1)
    columns = np.minimum(np.arange(width // CELL_PX + 2) * CELL_PX, width - 1)
    z, n = depth_m[np.ix_(rows, columns)], normals[np.ix_(rows, columns)]
    result = np.zeros(z.shape, np.float32)
    _bounce(z, n, rows, columns, camera.intrinsics, bounce, result)
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _bounce(depth, normals, rows, columns, intrinsics, bounce, result):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    points = np.empty((height, width, 3))
    ranges, areas = np.empty((height, width)), np.empty((height, width))
    for i in range(height):
        for j in range(width):
            z = np.float64(depth[i, j])
            x, y = (columns[j] - cx) / fx * z, (rows[i] - cy) / fy * z
            points[i, j, 0], points[i, j, 1], points[i, j, 2] = x, y, z
            distance = np.sqrt(x * x + y * y + z * z)
            facing = -(x * normals[i, j, 0] + y * normals[i, j, 1] + z * normals[i, j, 2]) / max(distance, 1e-9)
            ranges[i, j], areas[i, j] = distance, z * z * CELL_PX * CELL_PX / (fx * fy) / max(facing, 0.1)
    for i in range(height):
        for j in range(width):
            if depth[i, j] <= 0.0:
                continue
            light, detour = 0.0, 0.0
            for k in range(max(i - REACH_CELLS, 0), min(i + REACH_CELLS + 1, height)):
                for m in range(max(j - REACH_CELLS, 0), min(j + REACH_CELLS + 1, width)):
                    if depth[k, m] <= 0.0 or (k == i and m == j):
                        continue
                    dx, dy = points[k, m, 0] - points[i, j, 0], points[k, m, 1] - points[i, j, 1]
                    dz = points[k, m, 2] - points[i, j, 2]
                    here = dx * normals[i, j, 0] + dy * normals[i, j, 1] + dz * normals[i, j, 2]
                    there = -(dx * normals[k, m, 0] + dy * normals[k, m, 1] + dz * normals[k, m, 2])
                    if here <= 0.0 or there <= 0.0:
                        continue
                    # a patch is no point: nearer than its own size it sends no more
                    squared = max(dx * dx + dy * dy + dz * dz, areas[k, m])
                    length = np.sqrt(squared)
                    weight = bounce * here * there * areas[k, m] / (np.pi * squared * squared)
                    light += weight
                    detour += weight * 0.5 * (ranges[k, m] + length - ranges[i, j])
            result[i, j] = detour / (1.0 + light)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _expose(depth, signal, longer, errors, middle, seed, seen):  # type: ignore[no-untyped-def]
    """Fill seen with the distance that each pixel's own light has, its noise included."""
    near, growth, wiggle, per_m, phase, dark, offset, scale = errors
    height, width = depth.shape
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            z = np.float64(depth[v, u])
            if z <= 0.0:
                continue
            state = advance(state)
            dim = min(max(np.sqrt(middle / max(signal[v, u], 1e-6)), 0.5), 4.0)
            error = (near + growth * z * z) * dim * normal(state)
            error += wiggle * sine(z * per_m + phase) + dark * (dim - 1.0) * 2.4142
            seen[v, u] = max(z * scale + longer[v, u] + offset + error, 1e-3)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mix(seen, depth, signal, received, pixels, least, seed, measured):  # type: ignore[no-untyped-def]
    """Fill measured with the mean over each pixel's footprint, weighted by the light."""
    footprint, edge, edge_drop, quantum = pixels
    height, width = seen.shape
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            if not received[v, u]:
                continue
            state = advance(state)
            total, light = 0.0, 0.0
            front, back = depth[v, u], depth[v, u]
            for r in range(max(v - 1, 0), min(v + 2, height)):
                for c in range(max(u - 1, 0), min(u + 2, width)):
                    if seen[r, c] <= 0.0:
                        continue
                    front, back = min(front, depth[r, c]), max(back, depth[r, c])
                    weight = max(signal[r, c], least)
                    if r != v:
                        weight *= footprint
                    if c != u:
                        weight *= footprint
                    total += weight * seen[r, c]
                    light += weight
            if back - front > edge * depth[v, u] and random_fraction(state) < edge_drop:
                continue
            measured[v, u] = stepped(total / light, quantum)
