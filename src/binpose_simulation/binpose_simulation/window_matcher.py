"""Sensors that match windows of two images: active stereo, and projected dots (Kinect v1, PrimeSense).

Disparity d = f b / z is what is measured: the pixels of a window vote for one disparity. On a plane, whose disparity is
linear in the image, the mean over the window is exact; it smears what is curved, and small steps. At a larger step the
window shows two disparities. The surface that fills more of it, or has more contrast, wins: objects grow or shrink by
up to the window's radius (foreground fattening), and the pixel is lost where neither wins clearly. Noise is that of
the window's mean: neighbours share most of their windows, and with them their errors, and the error in depth is
z^2 / (f b) times that of the disparity.

Sources: Khoshelham and Oude Elberink, "Accuracy and resolution of Kinect depth data", Sensors 2012 (disparity in
steps of 1/8 px, depth error growing with z^2); Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise", 3DIMPVT 2012
(lateral noise of about a pixel at edges); Keselman et al., "Intel RealSense stereoscopic depth cameras", CVPRW 2017,
and Grunnet-Jepsen, Sweetser and Woodfill, "Best-known methods for tuning Intel RealSense D400 depth cameras", 2018
(error of 0.05 to 0.1 px at best, 1/32 px steps, invalid depth band, occlusion beside objects); Kanade and Okutomi, "A
stereo matching algorithm with an adaptive window", PAMI 1994 (fattening by the window).
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, NOT_NEGATIVE, setting
from binpose_simulation.depth_sensor import DepthSensor
from binpose_simulation.sensor_input import FloatImage, SensorInput
from binpose_simulation.sensor_noise import advance, exponential, normal, seed_of, smooth_field, stepped


@dataclass(frozen=True)
class WindowMatcher(DepthSensor):
    """One stereo camera, or camera with a dot projector.

    radius_px: of the matching window, which is 2 radius + 1 wide.
    noise_px: standard deviation of the disparity on a bright plane; it grows where less light comes back.
    wave_px, wave_scale_px: size and length of smooth errors (bumps) of the disparity.
    tolerance_px: disparities of a window that differ by less are mixed.
    fattening: how much more the nearer surface of a window counts.
    consensus: fraction of a window's votes that the winning surface needs, 0.5 = it wins whenever it has more.
    support: fraction of the window's pixels that must have been matched to the winning surface.
    ragged: unevenness of the two, which frays edges.
    step_px: of the disparity. quantum_m: of the depth; 0 = continuous.
    offset_px, scale: errors of the calibration, of the disparity and of the depth.
    band: pixels whose match lies beyond the second image are lost: a band at one side of the image.
    """

    radius_px: int = 3
    noise_px: float = setting(0.0, bounds=NOT_NEGATIVE)
    wave_px: float = setting(0.0, bounds=NOT_NEGATIVE)
    wave_scale_px: float = 30.0
    tolerance_px: float = 1.0
    fattening: float = 1.0
    consensus: float = setting(0.5, bounds=FRACTION)
    support: float = setting(0.3, bounds=FRACTION)
    ragged: float = setting(0.0, bounds=NOT_NEGATIVE)
    step_px: float = setting(0.0, bounds=NOT_NEGATIVE)
    quantum_m: float = setting(0.0, bounds=NOT_NEGATIVE)
    offset_px: float = 0.0
    scale: float = 1.0
    band: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = self.tolerance_px, self.fattening, self.scale, self.optics.baseline_m
        if not (self.radius_px >= 1 and all(value > 0.0 for value in positive)):
            raise BinposeError(
                "WindowMatcher: radius_px must be >= 1; tolerance_px, fattening, scale and the baseline positive, "
                f"got {self}."
            )

    def measure(self, rng: np.random.Generator, scene: SensorInput, received: npt.NDArray[np.bool_]) -> FloatImage:
        """Depth (H, W) from the disparity of each window's winning surface."""
        height, width = shape = scene.depth_m.shape
        focal_baseline = scene.camera.fx * self.optics.baseline_m
        wave = smooth_field(rng, height, width, self.wave_scale_px)
        fray = smooth_field(rng, height, width, max(0.7 * self.radius_px, 1.0))
        side = (1 if np.cos(self.optics.azimuth_rad) > 0 else -1) if self.band else 0
        noise = np.array([self.noise_px * (2 * self.radius_px + 1), self.wave_px, scene.median_light])
        disparity, votes = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        _observe(
            scene.depth_m, scene.light, received, wave, focal_baseline, noise, side, seed_of(rng), disparity, votes
        )
        slopes = np.zeros((*shape, 2), np.float32)
        _slopes(disparity, scene.normals, scene.camera.intrinsics, slopes)
        matched = np.zeros(shape, np.float32)
        choice = np.array([self.tolerance_px, self.fattening, self.consensus, self.support, self.ragged])
        match(disparity, votes, slopes, fray, self.radius_px, choice, matched)
        output = np.array([self.offset_px, self.step_px, focal_baseline * self.scale, self.quantum_m])
        _to_depth(matched, output)
        return matched


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _observe(depth, signal, received, wave, focal_baseline, noise, side, seed, disparity, votes):  # type: ignore[no-untyped-def]
    """Fill disparity with the true one, 0 where there is none, and votes with one pixel's noisy contribution."""
    sigma, wave_px, middle = noise
    height, width = depth.shape
    state = np.uint64(seed)
    for v in range(height):
        for u in range(width):
            if not received[v, u]:
                continue
            state = advance(state)
            d = focal_baseline / depth[v, u]
            # the match lies d pixels to the side, in the second camera's image
            if (side > 0 and u < d) or (side < 0 and u >= width - d):
                continue
            dim = min(max(np.sqrt(middle / max(signal[v, u], 1e-6)), 0.7), 2.5)
            disparity[v, u] = d
            votes[v, u] = d + wave_px * wave[v, u] + sigma * dim * normal(state)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slopes(disparity, normals, intrinsics, slopes):  # type: ignore[no-untyped-def]
    """Fill slopes (H, W, 2) with the change of the disparity per column and per row on the pixel's plane."""
    fx, fy, cx, cy = intrinsics
    for v in range(disparity.shape[0]):
        for u in range(disparity.shape[1]):
            d = disparity[v, u]
            if d > 0.0:
                a, b, c = normals[v, u, 0] / fx, normals[v, u, 1] / fy, normals[v, u, 2]
                facing = min(a * (u - cx) + b * (v - cy) + c, -0.05)
                slopes[v, u, 0], slopes[v, u, 1] = d * a / facing, d * b / facing


@numba.njit(cache=True, nogil=True, error_model="numpy")
def match(disparity, votes, slopes, fray, radius, choice, matched):  # type: ignore[no-untyped-def]
    """Fill matched (H, W) with the mean vote of each window's winning surface, 0 = no match.

    Whole windows that show one surface take their sums from a summed-area table; `match_window` is the rule for all.
    """
    height, width = disparity.shape
    sums, counts = _summed(disparity, votes)
    low, high = _block_ranges(disparity, radius)
    near, samples = np.empty((2 * radius + 1) ** 2), np.empty((2 * radius + 1) ** 2)
    for v in range(height):
        top, bottom = max(v - radius, 0), min(v + radius + 1, height)
        for u in range(width):
            left, right = max(u - radius, 0), min(u + radius + 1, width)
            count = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
            if count == 0:
                continue
            fraction = _support(fray[v, u], choice)
            if count < fraction * (2 * radius + 1) ** 2:
                continue
            whole = count == (2 * radius + 1) ** 2
            if whole and _one_surface(disparity, slopes, low, high, v, u, radius, choice[0]):
                # on a whole window the slope cancels out
                total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
                matched[v, u] = total / count
            else:
                matched[v, u] = match_window(
                    disparity, votes, slopes[v, u, 0], slopes[v, u, 1], v, u, fray[v, u], radius, choice, near, samples
                )


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _support(fray, choice):  # type: ignore[no-untyped-def]
    """Fraction of a window's pixels that must have been matched to the winner."""
    return min(choice[3] * exponential(choice[4] * fray), 0.95)


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _one_surface(disparity, slopes, low, high, v, u, radius, tolerance):  # type: ignore[no-untyped-def]
    """Whether a whole window shows one surface: by the range of its blocks, or by eight pixels on its border."""
    i, j = v // radius, u // radius
    nearest, farthest = np.float32(0.0), np.float32(np.inf)
    for r in range(max(i - 1, 0), min(i + 2, low.shape[0])):
        for c in range(max(j - 1, 0), min(j + 2, low.shape[1])):
            nearest, farthest = max(nearest, high[r, c]), min(farthest, low[r, c])
    if nearest - farthest < tolerance:
        return True
    across, down = radius * slopes[v, u, 0], radius * slopes[v, u, 1]
    if 2.0 * (abs(across) + abs(down)) < 0.25 * tolerance:
        return False
    d, limit = disparity[v, u], 0.35 * tolerance
    for y in range(-1, 2):
        for x in range(-1, 2):
            if abs(disparity[v + y * radius, u + x * radius] - d - x * across - y * down) > limit:
                return False
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def match_window(disparity, votes, across, down, v, u, fray, radius, choice, near, samples):  # type: ignore[no-untyped-def]
    """The disparity of one window, 0 = no match.

    The window is as slanted as its middle (across, down: per column and row). The nearest surface, within the tolerance
    of the largest disparity, stands against the next one behind it. In large windows only the pixels of even rows and
    columns vote; the error of their mean is made that of all. near, samples: room for the window's values.
    """
    tolerance, fattening, consensus, _, ragged = choice
    height, width = disparity.shape
    stride = 1 if radius < 3 else 2
    rows = range(v - radius + (v - radius) % stride, v + radius + 1, stride)
    columns = range(u - radius + (u - radius) % stride, u + radius + 1, stride)
    size = len(rows) * len(columns)
    shrink = np.sqrt(size) / (2.0 * radius + 1.0)
    number, front = 0, -np.inf
    for r in rows:
        for c in columns:
            if 0 <= r < height and 0 <= c < width and disparity[r, c] > 0.0:
                d = disparity[r, c] - across * (c - u) - down * (r - v)
                near[number], samples[number] = d, d + shrink * (votes[r, c] - disparity[r, c])
                front = max(front, d)
                number += 1
    limit, back = front - tolerance, -np.inf
    in_front, total_in_front = 0, 0.0
    for k in range(number):
        if near[k] > limit:
            in_front += 1
            total_in_front += samples[k]
        else:
            back = max(back, near[k])
    behind, total_behind = 0, 0.0
    if in_front < number:
        for k in range(number):
            if back - tolerance < near[k] <= limit:
                behind += 1
                total_behind += samples[k]
    winner, total = in_front, total_in_front
    weight, other = in_front * fattening * exponential(ragged * fray), np.float64(behind)
    if weight < other:
        weight, other, winner, total = other, weight, behind, total_behind
    if winner == 0 or winner < _support(fray, choice) * size or weight < consensus * (weight + other):
        return 0.0
    return max(total / winner, 0.0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _summed(disparity, votes):  # type: ignore[no-untyped-def]
    """Sums (H + 1, W + 1) of the votes and their number above and left of each pixel."""
    height, width = disparity.shape
    sums, counts = np.zeros((height + 1, width + 1)), np.zeros((height + 1, width + 1), np.int32)
    for v in range(height):
        total, count = 0.0, 0
        for u in range(width):
            if disparity[v, u] > 0.0:
                total += votes[v, u]
                count += 1
            sums[v + 1, u + 1] = sums[v, u + 1] + total
            counts[v + 1, u + 1] = counts[v, u + 1] + count
    return sums, counts


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _block_ranges(disparity, size):  # type: ignore[no-untyped-def]
    """Smallest (infinite where there is none) and largest disparity of each block of size x size pixels."""
    height, width = disparity.shape
    shape = (height + size - 1) // size, (width + size - 1) // size
    low, high = np.full(shape, np.inf, np.float32), np.zeros(shape, np.float32)
    for v in range(height):
        i = v // size
        for u in range(width):
            d = disparity[v, u]
            if d > 0.0:
                j = u // size
                low[i, j], high[i, j] = min(low[i, j], d), max(high[i, j], d)
    return low, high


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _to_depth(image, output):  # type: ignore[no-untyped-def]
    """Turn disparities into depth in metres, in place, each rounded to its step."""
    offset, step, focal_baseline, quantum = output
    for v in range(image.shape[0]):
        for u in range(image.shape[1]):
            d = np.float64(image[v, u])
            if d <= 0.0:
                continue
            d += offset
            d = stepped(d, step)
            image[v, u] = stepped(focal_baseline / d if d > 0.0 else 0.0, quantum)
