"""Materials as Mitsuba's `principled` surfaces, with textures of grooves, scratches, casting skin and dirt."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_simulation import materials as mat
from binpose_simulation.path_traced.backend import mitsuba

TEXTURE_PX, TEXTURE_M = 256, 0.05
FloatImage = npt.NDArray[np.float32]


def principled(rng: np.random.Generator, row: npt.NDArray[np.float32]) -> dict[str, Any]:
    """The surface of a material's row (`materials.COLUMNS`,); its textures cover `TEXTURE_M`.

    Bare metal has no even finish: grooves and scratches change its roughness, stains its colour.
    """
    metal = float(row[mat.METALLIC])
    grain = _groove_noise(rng) * (0.35 * row[mat.GRAIN] + 0.15 * row[mat.ANISOTROPY])
    stains = _cloud_noise(rng, 40.0) * (0.06 + 0.1 * metal) + _cloud_noise(rng, 3.0) * row[mat.MOTTLE]
    scratches = _scratches(rng, int(rng.integers(10, 60)))
    roughness = row[mat.ROUGHNESS] * np.exp(grain + stains) + 0.12 * scratches
    color = row[:3] * np.exp(0.5 * stains + 0.3 * grain - 0.15 * scratches)[..., None]
    return {
        "type": "principled",
        "base_color": bitmap(np.clip(color, 0.003, 0.97)),
        "roughness": bitmap(np.clip(roughness, 0.06, 1.0)[..., None]),
        "metallic": metal,
        "anisotropic": float(row[mat.ANISOTROPY]),
        "specular": float(np.clip(row[mat.F0] / 0.08, 0.0, 1.0)),
    }


def matte(rgb: npt.ArrayLike) -> dict[str, Any]:
    """A surface that scatters evenly."""
    value = [float(c) for c in np.asarray(rgb, np.float64)]
    return {"type": "diffuse", "reflectance": {"type": "rgb", "value": value}}


def bitmap(image: npt.NDArray[np.floating]) -> dict[str, Any]:
    """A texture (H, W, C) that repeats, of linear values."""
    mi = mitsuba()
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(image, np.float32)),
        "raw": True,
        "wrap_mode": "repeat",
    }


def _wrapped_blur(noise: FloatImage, sigma: tuple[float, float]) -> FloatImage:
    """Unit-variance noise, blurred along u and v without a seam."""
    noise = np.tile(noise, (3, 3))
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
    noise = noise[TEXTURE_PX : 2 * TEXTURE_PX, TEXTURE_PX : 2 * TEXTURE_PX]
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-6), np.float32)


def _noise(rng: np.random.Generator) -> FloatImage:
    return rng.standard_normal((TEXTURE_PX, TEXTURE_PX), np.float32)


def _cloud_noise(rng: np.random.Generator, sigma_px: float) -> FloatImage:
    return _wrapped_blur(_noise(rng), (sigma_px, sigma_px))


def _groove_noise(rng: np.random.Generator) -> FloatImage:
    """Streaks along v, as wide as tool marks."""
    return _wrapped_blur(_noise(rng), (float(rng.uniform(0.5, 1.5)), 60.0))


def _scratches(rng: np.random.Generator, number: int) -> FloatImage:
    """Thin lines in [0, 1] in all directions."""
    image = np.zeros((TEXTURE_PX, TEXTURE_PX), np.uint8)
    for _ in range(number):
        start, length, angle = rng.uniform(0, TEXTURE_PX, 2), rng.exponential(40.0), rng.uniform(0, 2 * np.pi)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        a, b = (tuple(int(x) for x in point) for point in (start, end))
        cv2.line(image, a, b, int(rng.integers(60, 255)), 1, cv2.LINE_AA)
    return image.astype(np.float32) / 255.0
