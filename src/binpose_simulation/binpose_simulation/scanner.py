"""Structured-light scanners of industry (Zivid, Photoneo, Ensenso): precise pixels, many holes.

Fringes or Gray codes are decoded for each pixel by itself: there is no window, edges stay sharp, and a pixel that sees
front and back at once is lost or lies between them.
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.base.settings import FRACTION, NOT_NEGATIVE, setting
from binpose_simulation.depth_sensor import DepthSensor
from binpose_simulation.sensor_input import FloatImage, SensorInput
from binpose_simulation.sensor_noise import advance, normal, random_fraction, seed_of, smooth_field, stepped


@dataclass(frozen=True)
class Scanner(DepthSensor):
    """One scanner.

    noise_m: standard deviation of a pixel near by; noise_per_m: its growth with the squared distance.
    correlated: fraction of the noise that neighbouring pixels have in common, over correlation_px.
    quantum_m: step of the depth values, 0 = continuous.
    smoothing_px, smoothing_m: radius of the filter and largest depth difference that it mixes.
    edge_m_per_m: depth step between neighbours, per metre of distance, that counts as an edge.
    edge_drop, edge_fly: probabilities that a pixel at an edge is lost or lies between front and back.
    """

    noise_m: float = setting(0.0, bounds=NOT_NEGATIVE)
    noise_per_m: float = setting(0.0, bounds=NOT_NEGATIVE)
    correlated: float = setting(0.0, bounds=FRACTION)
    correlation_px: float = 8.0
    quantum_m: float = setting(0.0001, bounds=NOT_NEGATIVE)
    smoothing_px: int = setting(0, bounds=NOT_NEGATIVE)
    smoothing_m: float = setting(0.005, bounds=NOT_NEGATIVE)
    edge_m_per_m: float = 0.01
    edge_drop: float = setting(0.0, bounds=FRACTION)
    edge_fly: float = setting(0.0, bounds=FRACTION)

    def measure(self, rng: np.random.Generator, scene: SensorInput, received: npt.NDArray[np.bool_]) -> FloatImage:
        """Depth (H, W) before smoothing and noise; some pixels at edges are lost or lie between front and back."""
        measured = np.zeros_like(scene.depth_m)
        edges = np.array([self.edge_m_per_m, self.edge_drop, self.edge_fly])
        _sample(scene.depth_m, scene.normals, received, edges, seed_of(rng), measured)
        return measured

    def finish(self, rng: np.random.Generator, scene: SensorInput, measured: FloatImage) -> FloatImage:
        """The depth (H, W), smoothed, with noise and rounded."""
        if self.smoothing_px > 0:
            measured = _smoothed(measured, self.smoothing_px, np.float32(self.smoothing_m))
        height, width = measured.shape
        common = smooth_field(rng, height, width, self.correlation_px) if self.correlated > 0 else measured
        noise = np.array([self.noise_m, self.noise_per_m, self.correlated, self.quantum_m])
        _disturb(measured, scene.normals, common, noise, seed_of(rng))
        return measured


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sample(depth, normals, received, edges, seed, measured):  # type: ignore[no-untyped-def]
    """Fill measured with the true depth where light is received; flying pixels at edges."""
    edge, edge_drop, edge_fly = edges
    height, width = depth.shape
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            if not received[v, u]:
                continue
            state = advance(state)
            z = depth[v, u]
            front, back = z, z
            for dv, du in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                r, c = v + dv, u + du
                if 0 <= r < height and 0 <= c < width and depth[r, c] > 0.0:
                    front, back = min(front, depth[r, c]), max(back, depth[r, c])
            # a slanted plane steps by its own slope; only more than that is an edge
            slope = np.sqrt(max(1.0 - normals[v, u, 2] ** 2, 0.0)) / max(-normals[v, u, 2], 0.05)
            if back - front > edge * z * (1.0 + 0.3 * slope):
                if random_fraction(state >> np.uint64(16)) < edge_drop:
                    continue
                if random_fraction(state >> np.uint64(32)) < edge_fly:
                    z = front + (back - front) * random_fraction(state >> np.uint64(8))
            measured[v, u] = z


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _smoothed(depth, radius, limit):  # type: ignore[no-untyped-def]
    """Mean over valid neighbours within the depth limit; only where the surface is not locally flat anyway."""
    height, width = depth.shape
    result = depth.copy()
    for v in range(radius, height - radius):
        for u in range(radius, width - radius):
            z = depth[v, u]
            if z <= 0.0:
                continue
            bend_u = abs(depth[v, u - radius] + depth[v, u + radius] - 2 * z)
            bend_v = abs(depth[v - radius, u] + depth[v + radius, u] - 2 * z)
            if bend_u < 2e-5 and bend_v < 2e-5:
                continue
            total, number = np.float32(0.0), 0
            for r in range(v - radius, v + radius + 1):
                for c in range(u - radius, u + radius + 1):
                    if depth[r, c] > 0.0 and abs(depth[r, c] - z) < limit:
                        total += depth[r, c] - z
                        number += 1
            result[v, u] = z + total / number
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _disturb(depth, normals, common, noise, seed):  # type: ignore[no-untyped-def]
    """Add noise to the valid pixels in place and round; noise grows with distance squared and slant."""
    near, growth, shared, quantum = noise
    height, width = depth.shape
    own = np.sqrt(1.0 - shared * shared)
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            z = np.float64(depth[v, u])
            if z <= 0.0:
                continue
            state = advance(state)
            error = own * normal(state)
            if shared > 0.0:
                error += shared * common[v, u]
            z += (near + growth * z * z) / max(-normals[v, u, 2], 0.15) * error
            depth[v, u] = max(stepped(z, quantum), 0.0)
