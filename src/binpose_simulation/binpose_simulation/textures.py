"""Random textures of the table, as a small image that repeats."""

import cv2
import numpy as np
import numpy.typing as npt

SIZE_PX = 128


def random_texture(rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], float]:
    """An image (128, 128, 3) float32 that multiplies the table's colour, and its pixels per metre."""
    makers = [_plain, _wood, _prints, _grid, _clutter]
    maker = makers[rng.choice(len(makers), p=[0.4, 0.15, 0.15, 0.15, 0.15])]
    image = np.clip(maker(rng), 0.02, 1.5).astype(np.float32)
    return image, float(SIZE_PX / np.exp(rng.uniform(np.log(0.06), np.log(0.5))))


def _plain(rng: np.random.Generator) -> npt.NDArray[np.floating]:
    return np.ones((SIZE_PX, SIZE_PX, 3))


def _smooth(rng: np.random.Generator, sigma: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Noise in about [-1, 1] that repeats without a seam."""
    noise = cv2.copyMakeBorder(rng.normal(size=(SIZE_PX, SIZE_PX)).astype(np.float32), 64, 64, 64, 64, cv2.BORDER_WRAP)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])[64:-64, 64:-64]
    return noise / (2.5 * noise.std())


def _wood(rng: np.random.Generator) -> npt.NDArray[np.floating]:
    grain = 0.25 * _smooth(rng, (30.0, 1.5)) + 0.1 * _smooth(rng, (8.0, 0.7))
    return (0.8 + grain)[..., None] * np.array([1.0, 0.85, 0.65])


def _prints(rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Square markers on paper."""
    image = np.ones((SIZE_PX, SIZE_PX))
    cells, margin = int(rng.integers(4, 8)), int(rng.integers(8, 30))
    side = SIZE_PX - 2 * margin
    inside = slice(margin, margin + side)
    bits = np.pad(rng.integers(0, 2, (cells, cells)), 1).astype(np.float32)
    image[inside, inside] = cv2.resize(bits, (side, side), interpolation=cv2.INTER_NEAREST)
    return np.repeat(image[..., None], 3, -1)


def _grid(rng: np.random.Generator) -> npt.NDArray[np.floating]:
    image = np.ones((SIZE_PX, SIZE_PX, 3))
    step, width = int(rng.choice([16, 32, 64])), int(rng.integers(1, 5))
    shade = rng.uniform(0, 1.4, 3)
    for start in range(0, SIZE_PX, step):
        image[start : start + width] = shade
        if rng.random() < 0.9:
            image[:, start : start + width] = shade
    return image


def _clutter(rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Blotches, stripes and outlines of many colours, as from papers, cables and stickers."""
    image = np.ones((SIZE_PX, SIZE_PX, 3), np.float32) * rng.uniform(0.3, 1, 3)
    for _ in range(int(rng.integers(4, 16))):
        color = tuple(float(c) for c in rng.uniform(0, 1.2, 3))
        a, b = (tuple(int(x) for x in rng.integers(0, SIZE_PX, 2)) for _ in range(2))
        kind, width = rng.integers(3), int(rng.choice([-1, 1, 2, 4]))
        if kind == 0:
            cv2.rectangle(image, a, b, color, width)
        elif kind == 1:
            cv2.circle(image, a, int(rng.integers(2, 30)), color, width)
        else:
            cv2.line(image, a, b, color, abs(width))
    return image
