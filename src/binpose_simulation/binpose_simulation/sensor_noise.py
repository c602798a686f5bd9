"""Random numbers of the depth sensors: the same on every processor.

The kernels here and in the sensors use only operations that IEEE 754 rounds exactly, in the order in which they are
written: no `fastmath` (it depends on the processor's vectors), no exponential or sine of a mathematical library.
"""

import numba
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform, rounded to six digits: libraries differ in the last one."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.6g}")


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform."""
    return float(rng.uniform(low, high))


def seed_of(rng: np.random.Generator) -> np.uint64:
    """A state for `advance`."""
    return np.uint64(rng.integers(1, 2**62))


def smooth_field(rng: np.random.Generator, height: int, width: int, scale_px: float) -> FloatImage:
    """Smooth standard normal noise (height, width), correlated over about scale_px."""
    coarse = rng.standard_normal((int(height / scale_px) + 3, int(width / scale_px) + 3), np.float32)
    field = np.empty((height, width), np.float32)
    # bilinear interpolation averages the variance down to 4 / 9 of the grid's
    interpolate(coarse * np.float32(1.5), np.float32(1.0 / scale_px), field)
    return field


@numba.njit(cache=True, nogil=True, error_model="numpy")
def interpolate(coarse, step, fine):  # type: ignore[no-untyped-def]
    """Fill fine (H, W), whose pixel (v, u) lies at (v * step, u * step) of the grid coarse, bilinearly."""
    height, width = fine.shape
    columns = coarse.shape[1]
    row = np.empty(columns, np.float32)
    for v in range(height):
        y = np.float32(v) * step
        i = int(y)
        b = y - np.float32(i)
        for j in range(columns):
            row[j] = coarse[i, j] + b * (coarse[i + 1, j] - coarse[i, j])
        for u in range(width):
            x = np.float32(u) * step
            j = int(x)
            fine[v, u] = row[j] + (x - np.float32(j)) * (row[j + 1] - row[j])


@numba.njit(cache=True, nogil=True, inline="always")
def advance(state):  # type: ignore[no-untyped-def]
    """xorshift64 (Marsaglia, 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@numba.njit(cache=True, nogil=True, inline="always")
def random_fraction(bits):  # type: ignore[no-untyped-def]
    """A number in [0, 1) from the lowest 16 bits."""
    return np.float32(np.int64(bits & np.uint64(0xFFFF))) * np.float32(1.0 / 65536.0)


@numba.njit(cache=True, nogil=True, inline="always")
def normal(bits):  # type: ignore[no-untyped-def]
    """A standard normal number from 64 bits: the sum of four uniform ones, of variance 1 / 3, is close enough."""
    total = (
        np.int64(bits & np.uint64(0xFFFF)) + np.int64((bits >> np.uint64(16)) & np.uint64(0xFFFF))
        + np.int64((bits >> np.uint64(32)) & np.uint64(0xFFFF)) + np.int64(bits >> np.uint64(48))
    )  # fmt: skip
    return (np.float32(total) - np.float32(131070.0)) * np.float32(2.6429e-5)


@numba.njit(cache=True, nogil=True, inline="always")
def exponential(x):  # type: ignore[no-untyped-def]
    """exp(x) within 2 % for |x| < 3, by (1 + x / 128)^128."""
    y = max(np.float32(1.0) + np.float32(x) * np.float32(1.0 / 128.0), np.float32(0.0))
    for _ in range(7):
        y *= y
    return y


@numba.njit(cache=True, nogil=True, inline="always")
def sine(turns):  # type: ignore[no-untyped-def]
    """sin(2 pi turns) within 0.1 %, by a parabola and its square."""
    x = 2.0 * (turns - np.floor(turns + 0.5))
    y = 4.0 * x * (1.0 - abs(x))
    return y * (0.775 + 0.225 * abs(y))


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def stepped(value, step):  # type: ignore[no-untyped-def]
    """The nearest multiple of a step; the value itself where the step is 0."""
    return np.round(value / step) * step if step > 0.0 else value
