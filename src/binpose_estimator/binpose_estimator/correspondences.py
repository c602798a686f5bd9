"""Poses from dense object coordinates: RANSAC over triples, then least squares on the inliers (Kabsch)."""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.geometry.transforms import FloatArray

TRIPLES = 96
INLIER_DIAMETERS = 0.05
MIN_POINTS = 6
DISTINCT_COSINE = 0.9


def poses_from_coordinates(
    observed: FloatArray, predicted: FloatArray, valid: npt.NDArray[np.bool_], seed: int = 0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Two rigid motions per crop that carry many predicted object coordinates onto the observed points.

    Args:
        observed: (B, N, 3) points in the crop's frame, in diameters.
        predicted: (B, N, 3) object coordinates, in diameters.
        valid: (B, N) which of them count.
        seed: of the triples that are tried; the same seed gives the same result.

    Returns:
        Rotations (B, 2, 3, 3), centres (B, 2, 3) and the share of inliers (B, 2), 0 where there is no pose. The second
        differs from the first by at least some 25 degrees.
    """
    batch = len(observed)
    rotation, center, share = np.zeros((batch, 2, 3, 3)), np.zeros((batch, 2, 3)), np.zeros((batch, 2))
    rotation[:] = np.eye(3)
    _solve(
        np.ascontiguousarray(observed, np.float64), np.ascontiguousarray(predicted, np.float64),
        np.ascontiguousarray(valid), seed, rotation, center, share,
    )  # fmt: skip
    return rotation, center, share


@njit(cache=True)
def _kabsch(p: FloatArray, q: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """R, t with R q + t = p in the weighted least-squares sense."""
    total = weight.sum()
    mp, mq = np.zeros(3), np.zeros(3)
    for i in range(len(p)):
        mp += weight[i] * p[i]
        mq += weight[i] * q[i]
    mp /= total
    mq /= total
    H = np.zeros((3, 3))
    for i in range(len(p)):
        if weight[i] > 0.0:
            for a in range(3):
                for b in range(3):
                    H[a, b] += weight[i] * (p[i, a] - mp[a]) * (q[i, b] - mq[b])
    U, _, Vt = np.linalg.svd(H)
    if np.linalg.det(U) * np.linalg.det(Vt) < 0.0:
        U[:, 2] = -U[:, 2]
    R = U @ Vt
    return R, mp - R @ mq


@njit(cache=True)
def _inliers(p: FloatArray, q: FloatArray, R: FloatArray, t: FloatArray, weight: FloatArray) -> float:
    count = 0.0
    for i in range(len(p)):
        error = 0.0
        for a in range(3):
            d = R[a, 0] * q[i, 0] + R[a, 1] * q[i, 1] + R[a, 2] * q[i, 2] + t[a] - p[i, a]
            error += d * d
        weight[i] = 1.0 if error < INLIER_DIAMETERS * INLIER_DIAMETERS else 0.0
        count += weight[i]
    return count


@njit(parallel=True, cache=True)
def _solve(
    observed: FloatArray,
    predicted: FloatArray,
    valid: npt.NDArray[np.bool_],
    seed: int,
    rotation: FloatArray,
    center: FloatArray,
    share: FloatArray,
) -> None:
    for b in prange(observed.shape[0]):
        index = np.nonzero(valid[b])[0]
        n = len(index)
        if n < MIN_POINTS:
            continue
        p, q = observed[b][index], predicted[b][index]
        weight = np.zeros(n)
        np.random.seed(seed + b)  # noqa: NPY002  # numba's own generator, one per thread
        for _ in range(TRIPLES):
            triple = np.random.randint(0, n, 3)  # noqa: NPY002
            if triple[0] == triple[1] or triple[1] == triple[2] or triple[0] == triple[2]:
                continue
            R, t = _kabsch(p[triple], q[triple], np.ones(3))
            count = _inliers(p, q, R, t, weight) / n
            cosine = (np.trace(rotation[b, 0].T @ R) - 1.0) / 2.0
            if count > share[b, 0]:
                if cosine < DISTINCT_COSINE:
                    rotation[b, 1], center[b, 1], share[b, 1] = rotation[b, 0], center[b, 0], share[b, 0]
                rotation[b, 0], center[b, 0], share[b, 0] = R, t, count
            elif count > share[b, 1] and cosine < DISTINCT_COSINE:
                rotation[b, 1], center[b, 1], share[b, 1] = R, t, count
        for which in range(2):
            for _ in range(3):
                if _inliers(p, q, rotation[b, which], center[b, which], weight) < 3.0:
                    break
                R, t = _kabsch(p, q, weight)
                rotation[b, which], center[b, which] = R, t
            share[b, which] = _inliers(p, q, rotation[b, which], center[b, which], weight) / n
        if (np.trace(rotation[b, 0].T @ rotation[b, 1]) - 1.0) / 2.0 >= DISTINCT_COSINE:
            share[b, 1] = 0.0
