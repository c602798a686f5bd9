"""A depth sensor with a projector: from the depth that is there to the depth that is measured.

A pixel is measured where the projector's light arrives and comes back neither too weak nor too strong: shiny parts
keep strips, dark and slanted faces are lost, and so is what mirrors its surroundings. What is measured is smoothed
a little, noisy and quantised.
"""

from dataclasses import dataclass

import cv2
import numba
import numpy as np
import numpy.typing as npt

from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray, inverse
from binpose_simulation.viewpoint import check_range, check_share

FloatImage = npt.NDArray[np.float32]
FIELD_PX = 12


@dataclass(frozen=True)
class SensorModel:
    """One sensor.

    baseline_m, azimuth_rad: distance and direction (0 = image x, towards y) of the projector from the camera.
    noise_m: standard deviation of a pixel near by; noise_per_m: its growth with the squared distance.
    correlated: share of the noise that neighbouring pixels have in common, over correlation_px.
    quantum_m: step of the depth values, 0 = continuous.
    smoothing_px, smoothing_m: radius of the filter and largest depth difference that it mixes.
    slant_cosine: faces seen under a smaller cosine are lost.
    weakest, strongest: limits of the signal, relative to the image's median.
    stray: largest mirrored light, relative to the pixel's own signal.
    edge_m_per_m: depth step between neighbours, per metre of distance, that counts as an edge.
    edge_drop, edge_fly: probabilities that a pixel at an edge is lost or lies between front and back.
    dropout: probability of a lone hole. blobs: mean number of round holes. uneven: unevenness of the limits above.
    shadow: whether pixels out of the projector's sight are lost.
    """

    baseline_m: float = 0.12
    azimuth_rad: float = 0.0
    noise_m: float = 0.0
    noise_per_m: float = 0.0
    correlated: float = 0.0
    correlation_px: float = 8.0
    quantum_m: float = 0.0001
    smoothing_px: int = 0
    smoothing_m: float = 0.005
    slant_cosine: float = 0.0
    weakest: float = 0.0
    strongest: float = np.inf
    stray: float = np.inf
    edge_m_per_m: float = 0.01
    edge_drop: float = 0.0
    edge_fly: float = 0.0
    dropout: float = 0.0
    blobs: float = 0.0
    uneven: float = 0.0
    shadow: bool = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        for share in ("correlated", "edge_drop", "edge_fly", "dropout", "slant_cosine"):
            check_share(name, share, getattr(self, share))
        if min(self.noise_m, self.noise_per_m, self.quantum_m, self.smoothing_px, self.blobs, self.baseline_m) < 0:
            raise BinposeError(f"{name}: noise, quantum, smoothing, blobs and baseline are >= 0, got {self}.")
        if self.weakest > self.strongest:
            raise BinposeError(f"{name}: weakest {self.weakest} must not exceed strongest {self.strongest}.")

    def projector_m(self, T_cam_world: FloatArray) -> FloatArray:
        """(3,) the projector's place in the world."""
        offset = self.baseline_m * np.array([np.cos(self.azimuth_rad), np.sin(self.azimuth_rad), 0.0])
        T_world_cam = inverse(T_cam_world)
        return T_world_cam[:3, :3] @ offset + T_world_cam[:3, 3]

    def apply(
        self,
        rng: np.random.Generator,
        depth_m: FloatImage,
        normals: FloatImage,
        signal: FloatImage | None = None,
        stray: FloatImage | None = None,
        projector_lit: FloatImage | None = None,
        reference: npt.NDArray[np.bool_] | None = None,
    ) -> FloatImage:
        """The measured depth (H, W) float32 in metres, 0 = hole.

        Args:
            rng: source of randomness.
            depth_m: (H, W) true depth, 0 = nothing.
            normals: (H, W, 3) camera frame, turned towards the camera.
            signal: (H, W) the projector's light that comes back from each pixel, any unit.
            stray: (H, W) light mirrored from elsewhere, same unit.
            projector_lit: (H, W) share of the projector's light that arrives, shadow = 0.
            reference: (H, W) the pixels for whose median signal the sensor is set up; default all.
        """
        height, width = depth_m.shape
        ones = np.ones_like(depth_m)
        lit = projector_lit if self.shadow and projector_lit is not None else ones
        signal, stray = ones if signal is None else signal, np.zeros_like(depth_m) if stray is None else stray
        metered = (depth_m > 0) & (lit > 0.5)
        if reference is not None and (metered & reference).any():
            metered &= reference
        seen = signal[::4, ::4][metered[::4, ::4]]
        middle = max(float(np.median(seen)), 1e-6) if seen.size else 1.0
        uneven = np.exp(self.uneven * _field(rng, height, width, FIELD_PX))
        measured = np.zeros_like(depth_m)
        limits = np.array([
            self.slant_cosine, self.weakest * middle, self.strongest * middle, self.stray, self.edge_m_per_m,
            self.edge_drop, self.edge_fly, self.dropout,
        ], np.float64)  # fmt: skip
        _measure(depth_m, normals, signal, stray, lit, uneven, limits, _seed(rng), measured)
        for _ in range(rng.poisson(self.blobs)):
            self._punch(rng, measured)
        if self.smoothing_px > 0:
            measured = _smoothed(measured, self.smoothing_px, np.float32(self.smoothing_m))
        common = _field(rng, height, width, self.correlation_px) if self.correlated > 0 else measured
        _disturb(measured, normals, common, self.noise_m, self.noise_per_m, self.correlated, self.quantum_m, _seed(rng))
        return measured

    def _punch(self, rng: np.random.Generator, depth_m: FloatImage) -> None:
        height, width = depth_m.shape
        center = int(rng.integers(width)), int(rng.integers(height))
        axes = tuple(int(a) for a in np.ceil(rng.exponential(0.008, 2) * width))
        cv2.ellipse(depth_m, center, axes, float(rng.uniform(0, 180)), 0, 360, 0.0, -1)


@dataclass(frozen=True)
class SensorConfig:
    """Which sensors are drawn, one for each view.

    ideal_share: almost perfect ones. stereo_share: noisy ones that smear (active stereo cameras).
    The others are structured-light scanners: precise, with many holes.
    baseline_m: distance between camera and projector. aligned_share: projectors beside the camera along image x.
    """

    ideal_share: float = 0.1
    stereo_share: float = 0.25
    baseline_m: tuple[float, float] = (0.03, 0.15)
    aligned_share: float = 0.75

    def __post_init__(self) -> None:
        name = type(self).__name__
        for share in ("ideal_share", "stereo_share", "aligned_share"):
            check_share(name, share, getattr(self, share))
        check_share(name, "ideal_share + stereo_share", self.ideal_share + self.stereo_share)
        check_range(name, "baseline_m", self.baseline_m, 0.0, 2.0)

    def draw(self, rng: np.random.Generator) -> SensorModel:
        """A sensor for one view."""
        aligned = rng.random() < self.aligned_share
        azimuth = rng.integers(2) * np.pi + rng.normal() * 0.08 if aligned else rng.uniform(-np.pi, np.pi)
        place = float(rng.uniform(*self.baseline_m)), float(azimuth)
        kind = rng.random()
        if kind < self.ideal_share:
            return _ideal(rng, *place)
        if kind < self.ideal_share + self.stereo_share:
            return _stereo(rng, *place)
        return _structured_light(rng, *place)


def _ideal(rng: np.random.Generator, baseline_m: float, azimuth_rad: float) -> SensorModel:
    return SensorModel(
        baseline_m, azimuth_rad, noise_m=1e-5, noise_per_m=_between(rng, 2e-5, 2e-4), edge_drop=0.3, slant_cosine=0.05,
        shadow=bool(rng.random() < 0.5),
    )  # fmt: skip


def _stereo(rng: np.random.Generator, baseline_m: float, azimuth_rad: float) -> SensorModel:
    return SensorModel(
        baseline_m, azimuth_rad, noise_m=_between(rng, 5e-5, 2e-4), noise_per_m=_between(rng, 8e-4, 4e-3),
        correlated=float(rng.uniform(0.4, 0.9)), correlation_px=_between(rng, 3, 12),
        quantum_m=float(rng.choice([0.0001, 0.001])), smoothing_px=int(rng.integers(1, 4)),
        smoothing_m=_between(rng, 0.004, 0.03), slant_cosine=_between(rng, 0.1, 0.3),
        weakest=_between(rng, 0.001, 0.04), strongest=_between(rng, 8, 100), stray=_between(rng, 1, 20),
        edge_m_per_m=0.015, edge_drop=float(rng.uniform(0.1, 0.7)), edge_fly=float(rng.uniform(0.1, 0.5)),
        dropout=float(rng.uniform(0, 0.01)), blobs=float(rng.exponential(3)), uneven=float(rng.uniform(0.2, 0.8)),
        shadow=bool(rng.random() < 0.8),
    )  # fmt: skip


def _structured_light(rng: np.random.Generator, baseline_m: float, azimuth_rad: float) -> SensorModel:
    return SensorModel(
        baseline_m, azimuth_rad, noise_m=_between(rng, 1e-5, 8e-5), noise_per_m=_between(rng, 1e-4, 1e-3),
        correlated=float(rng.uniform(0.0, 0.7)), correlation_px=_between(rng, 2, 16),
        smoothing_px=int(rng.integers(0, 3)), smoothing_m=_between(rng, 0.002, 0.012),
        slant_cosine=_between(rng, 0.05, 0.3), weakest=_between(rng, 0.002, 0.1), strongest=_between(rng, 5, 80),
        stray=_between(rng, 0.3, 10), edge_m_per_m=_between(rng, 0.004, 0.012),
        edge_drop=float(rng.uniform(0.3, 1.0)), edge_fly=float(rng.uniform(0.0, 0.2)),
        dropout=float(rng.uniform(0, 0.006)), blobs=float(rng.exponential(2)), uneven=float(rng.uniform(0.05, 0.4)),
        shadow=bool(rng.random() < 0.95),
    )  # fmt: skip


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _seed(rng: np.random.Generator) -> np.uint64:
    return np.uint64(rng.integers(1, 2**62))


def _field(rng: np.random.Generator, height: int, width: int, scale_px: float) -> FloatImage:
    """Smooth standard normal noise (height, width), correlated over about scale_px."""
    shape = int(height / scale_px) + 4, int(width / scale_px) + 4
    coarse = rng.standard_normal(shape, np.float32)
    size = int(np.ceil(shape[1] * scale_px)), int(np.ceil(shape[0] * scale_px))
    # bilinear interpolation averages the variance down to 4 / 9 of the grid's
    return cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)[:height, :width] * np.float32(1.5)


@numba.njit(cache=True, nogil=True, inline="always")
def _advance(state):  # type: ignore[no-untyped-def]
    """xorshift64 (Marsaglia, 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@numba.njit(cache=True, nogil=True, inline="always")
def _share(bits):  # type: ignore[no-untyped-def]
    """A number in [0, 1) from the lowest 16 bits."""
    return np.float32(np.int64(bits & np.uint64(0xFFFF))) * np.float32(1.0 / 65536.0)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _measure(depth, normals, signal, stray, lit, uneven, limits, seed, measured):  # type: ignore[no-untyped-def]
    """Fill measured with the true depth where the sensor gets a value; flying pixels at edges."""
    slant_limit, weakest, strongest, stray_limit, edge, edge_drop, edge_fly, dropout = limits
    height, width = depth.shape
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if z <= 0.0 or lit[v, u] < 0.5:
                continue
            state = _advance(state)
            x = uneven[v, u] * (np.float32(0.75) + np.float32(0.5) * _share(state >> np.uint64(48)))
            if -normals[v, u, 2] < slant_limit * x or signal[v, u] < weakest * x or signal[v, u] * x > strongest:
                continue
            if stray[v, u] * x > stray_limit * signal[v, u]:
                continue
            if _share(state) < dropout:
                continue
            front, back = z, z
            for dv, du in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                r, c = v + dv, u + du
                if 0 <= r < height and 0 <= c < width and depth[r, c] > 0.0:
                    front, back = min(front, depth[r, c]), max(back, depth[r, c])
            # a slanted plane steps by its own slope; only more than that is an edge
            slope = np.sqrt(max(1.0 - normals[v, u, 2] ** 2, 0.0)) / max(-normals[v, u, 2], 0.05)
            if back - front > edge * z * (1.0 + 0.3 * slope):
                if _share(state >> np.uint64(16)) < edge_drop:
                    continue
                if _share(state >> np.uint64(32)) < edge_fly:
                    z = front + (back - front) * _share(state >> np.uint64(8))
            measured[v, u] = z


@numba.njit(cache=True, nogil=True, fastmath=True)
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


@numba.njit(cache=True, nogil=True, fastmath=True)
def _disturb(depth, normals, common, near, growth, correlated, quantum, seed):  # type: ignore[no-untyped-def]
    """Add noise to the valid pixels in place and round; noise grows with distance squared and slant."""
    height, width = depth.shape
    own, shared = np.sqrt(1.0 - correlated * correlated), correlated
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if z <= 0.0:
                continue
            state = _advance(state)
            # the sum of four uniform numbers, variance 1 / 3, is close enough to a normal one
            total = _share(state) + _share(state >> np.uint64(16)) + _share(state >> np.uint64(32))
            normal = own * (total + _share(state >> np.uint64(48)) - np.float32(2.0)) * np.float32(1.7320508)
            if shared > 0.0:
                normal += shared * common[v, u]
            sigma = (near + growth * z * z) / max(-normals[v, u, 2], 0.15)
            z += sigma * normal
            if quantum > 0.0:
                z = np.round(z / quantum) * quantum
            depth[v, u] = max(z, 0.0)
