"""The centre that unit vectors at observed points aim at: RANSAC over pairs, then least squares on the inliers."""

import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange

from binpose_core.geometry.transforms import FloatArray

PAIRS = 64
INLIER_COSINE = 0.98  # 11 degrees
REFITS = 3
RIDGE = 1e-4
LEAST_SINE = 0.05  # lines that are nearly parallel meet anywhere


def vote_centers(
    points: FloatArray, directions: FloatArray, seen: npt.NDArray[np.bool_], seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Where the lines from points along directions meet (Chen et al., 2022; PVNet's voting in 3D).

    Args:
        points: (B, N, 3).
        directions: (B, N, 3) unit vectors.
        seen: (B,) whether a crop has any points.
        seed: of the pairs that are tried; the same seed gives the same result.

    Returns:
        Centres (B, 3) and the fraction of points (B,) that aim at them; 0 where no two lines meet.
    """
    center, fraction = np.zeros((len(points), 3)), np.zeros(len(points))
    p, v = (np.ascontiguousarray(values, np.float64) for values in (points, directions))
    _vote(p, v, np.ascontiguousarray(seen), seed, center, fraction)
    return center, fraction


def meeting_points(points: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """(B, 3) the points nearest to all lines from points (B, N, 3) along unit vectors (B, N, 3), with gradients.

    No line is left out. Parallel lines meet near the origin.
    """
    across = torch.eye(3).to(points) - directions[..., :, None] * directions[..., None, :]
    A = across.mean(1) + RIDGE * torch.eye(3).to(points)
    b = (across @ points[..., None]).mean(1)
    return torch.linalg.solve(A, b)[..., 0]


@njit(cache=True)
def _meeting_point(p: FloatArray, v: FloatArray, inlier: npt.NDArray[np.bool_]) -> FloatArray:
    """The point nearest to the lines of the inliers: sum (I - v v') (c - p) = 0."""
    A, b = np.zeros((3, 3)), np.zeros(3)
    for i in range(len(p)):
        if inlier[i]:
            for r in range(3):
                for c in range(3):
                    entry = (1.0 if r == c else 0.0) - v[i, r] * v[i, c]
                    A[r, c] += entry
                    b[r] += entry * p[i, c]
    return np.linalg.solve(A + 1e-9 * np.eye(3), b)


@njit(cache=True)
def _mark_inliers(p: FloatArray, v: FloatArray, center: FloatArray, inlier: npt.NDArray[np.bool_]) -> int:
    """Mark the points that aim at the centre; their number."""
    count = 0
    for i in range(len(p)):
        d = center - p[i]
        inlier[i] = (d * v[i]).sum() > INLIER_COSINE * np.sqrt((d * d).sum())
        count += inlier[i]
    return count


@njit(parallel=True, cache=True)
def _vote(
    points: FloatArray,
    directions: FloatArray,
    seen: npt.NDArray[np.bool_],
    seed: int,
    center: FloatArray,
    fraction: FloatArray,
) -> None:
    for b in prange(len(points)):
        p, v = points[b], directions[b]
        n = len(p)
        if not seen[b]:
            continue
        inlier, pair = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        best = 0
        np.random.seed(seed + b)  # noqa: NPY002  # numba's own generator, one per thread
        for _ in range(PAIRS):
            i, j = np.random.randint(0, n), np.random.randint(0, n)  # noqa: NPY002
            cosine = (v[i] * v[j]).sum()
            if cosine * cosine > 1.0 - LEAST_SINE * LEAST_SINE:
                continue
            pair[:] = False
            pair[i], pair[j] = True, True
            candidate = _meeting_point(p, v, pair)
            count = _mark_inliers(p, v, candidate, inlier)
            if count > best:
                best, center[b] = count, candidate
        if best < 2:
            continue
        for _ in range(REFITS):
            if _mark_inliers(p, v, center[b], inlier) < 2:
                break
            center[b] = _meeting_point(p, v, inlier)
        fraction[b] = _mark_inliers(p, v, center[b], inlier) / n
