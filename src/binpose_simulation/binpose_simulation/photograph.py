"""Converts linear light to an 8-bit camera image: exposure, lens, noise, mosaic, tone, JPEG."""

from dataclasses import dataclass

import cv2
import numba
import numpy as np
import numpy.typing as npt

from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_simulation.gbuffer import REPEATABLE
from binpose_simulation.viewpoint import check_range

TONE_STEPS = 2048


@dataclass(frozen=True)
class PhotographConfig:
    """Ranges of camera effects; each `..._share` is the probability that an image has the effect.

    blur_px: standard deviation of the lens blur. noise: largest noise of a mid-gray pixel, as a fraction of full scale.
    exposure: brightness of the scene's bright parts, 1 = full scale: above, they saturate; below, the image is dark.
    """

    blur_px: tuple[float, float] = (0.3, 1.1)
    noise: float = 0.035
    exposure: tuple[float, float] = (0.4, 1.8)
    white_balance: float = 0.08
    bloom_share: float = setting(0.3, bounds=FRACTION)
    vignette_share: float = setting(0.4, bounds=FRACTION)
    mosaic_share: float = setting(0.35, bounds=FRACTION)
    sharpen_share: float = setting(0.35, bounds=FRACTION)
    jpeg_share: float = setting(0.35, bounds=FRACTION)
    mono_share: float = setting(0.08, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)
        name = type(self).__name__
        check_range(name, "blur_px", self.blur_px, 0.05, 20.0)
        check_range(name, "exposure", self.exposure, 0.01, 20.0)
        check_range(name, "noise, white_balance", (0.0, max(self.noise, self.white_balance)), 0.0, 1.0)


def photograph(
    rng: np.random.Generator,
    config: PhotographConfig,
    light: npt.NDArray[np.float32],
    metered: npt.NDArray[np.bool_],
    noise: np.random.Generator | None = None,
) -> npt.NDArray[np.uint8]:
    """The image (H, W, 3) or (H, W) uint8 of linear light (H, W, 3), exposed for the pixels `metered` (H, W).

    Images with equal `rng` are taken by one camera; `noise` then gives each its own noise.
    """
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(*config.blur_px))
    gain = _exposure(rng, config, light, metered)
    if rng.random() < config.bloom_share:
        light = _bloomed(rng, light, gain)
    gains = gain * (1 + rng.normal(size=3) * config.white_balance * rng.random())
    rows, columns = _vignette(rng, light.shape, config.vignette_share)
    level = config.noise * rng.random() ** 2
    mosaic = rng.random() < config.mosaic_share
    seed = int((rng if noise is None else noise).integers(1, 2**62))
    image = np.empty(light.shape, np.uint8)
    _expose(light, gains.astype(np.float32), rows, columns, np.float32(level), seed, _tone(rng), mosaic, image)
    if mosaic:
        # _expose has written the single colour of each photosite into the first channel
        image = cv2.cvtColor(np.ascontiguousarray(image[..., 0]), cv2.COLOR_BayerRGGB2RGB)
    if rng.random() < config.sharpen_share:
        image = _sharpened(rng, image)
    if rng.random() < config.mono_share:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if rng.random() < config.jpeg_share:
        image = _compressed(image, int(rng.integers(55, 97)))
    return image


def _exposure(
    rng: np.random.Generator, config: PhotographConfig, light: npt.NDArray[np.float32], metered: npt.NDArray[np.bool_]
) -> float:
    samples = light[::4, ::4].max(-1)
    chosen = samples[metered[::4, ::4]]
    samples = chosen if chosen.size > 100 else samples.ravel()
    bright = float(np.quantile(samples, rng.uniform(0.7, 0.97)))
    return float(np.exp(rng.uniform(*np.log(config.exposure)))) / max(bright, 1e-4)


def _bloomed(rng: np.random.Generator, light: npt.NDArray[np.float32], gain: float) -> npt.NDArray[np.float32]:
    """The light with the lens scatter of saturated spots into their surroundings."""
    height, width = light.shape[:2]
    excess = np.clip(light * gain - 1, 0, 8)
    small = cv2.resize(excess, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.8, 6))
    halo = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return light + halo * np.float32(rng.uniform(0.03, 0.3) / gain)


def _vignette(
    rng: np.random.Generator, shape: tuple[int, ...], probability: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Factors per row and per column whose product darkens the corners."""
    strength = rng.uniform(0.05, 0.5) if rng.random() < probability else 0.0
    middle = rng.normal(size=2) * 0.1
    rows = 1 - strength * (np.linspace(-1, 1, shape[0]) - middle[0]) ** 2 / 2
    columns = 1 - strength * (np.linspace(-1, 1, shape[1]) - middle[1]) ** 2 / 2
    return rows.astype(np.float32), columns.astype(np.float32)


def _tone(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Display value 0..255 of linear steps: random gamma, contrast and black level."""
    x = np.linspace(0, 1, TONE_STEPS)
    gamma = rng.uniform(0.4, 0.62) if rng.random() < 0.8 else rng.uniform(0.62, 0.95)
    y = x**gamma
    contrast = rng.uniform(-0.25, 0.6)
    y = y + contrast * (y * y * (3 - 2 * y) - y)
    black = rng.uniform(-0.05, 0.06)
    return (np.clip(black + (1 - black) * y, 0, 1) * 255).astype(np.float32)


@numba.njit(cache=True, nogil=True, fastmath=REPEATABLE)
def _expose(light, gains, rows, columns, noise, seed, tone, mosaic, image):  # type: ignore[no-untyped-def]
    """Gain, vignette, shot and read noise, tone curve; with mosaic only the RGGB photosite, in channel 0."""
    height, width, _ = light.shape
    state = np.uint64(seed)
    last = len(tone) - 1
    for v in range(height):
        for u in range(width):
            shade = rows[v] * columns[u]
            first = (v & 1) + (u & 1) if mosaic else 0
            for c in range(first, first + 1 if mosaic else 3):
                # xorshift64; the sum of four 16-bit numbers is close enough to a normal one
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                total = (
                    np.int64(state & np.uint64(0xFFFF)) + np.int64((state >> np.uint64(16)) & np.uint64(0xFFFF))
                    + np.int64((state >> np.uint64(32)) & np.uint64(0xFFFF)) + np.int64(state >> np.uint64(48))
                )  # fmt: skip
                normal = (np.float32(total) - np.float32(131070.0)) * np.float32(2.6429e-5)
                value = light[v, u, c] * gains[c] * shade
                value += noise * np.sqrt(np.float32(0.05) + max(value, np.float32(0.0))) * normal
                index = int(min(max(value, np.float32(0.0)), np.float32(1.0)) * last)
                image[v, u, 0 if mosaic else c] = np.uint8(tone[index] + np.float32(0.5))


def _sharpened(rng: np.random.Generator, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    amount = rng.uniform(0.2, 1.0)
    return cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 1.6)), -amount, 0)


def _compressed(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
