"""The best poses of many that differ from each other."""

import numpy as np

from binpose_core.geometry.transforms import FloatArray

DISTINCT_COSINE = 0.9  # of an angle of 26 degrees
DISTINCT_DIAMETERS = 0.1


def distinct_poses(
    rotation: FloatArray, center: FloatArray, score: FloatArray, number: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Poses by descending score that differ by 26 degrees or a tenth of the diameter (non-maximum suppression).

    Args:
        rotation: (B, N, 3, 3).
        center: (B, N, 3) in diameters.
        score: (B, N), at least 0.
        number: how many per crop.

    Returns:
        The same of (B, number); the score is 0 where no further pose is left.
    """
    batch, left = np.arange(len(score)), score.astype(np.float64)
    found = []
    for _ in range(number):
        best = left.argmax(1)
        R, c, s = rotation[batch, best], center[batch, best], left[batch, best]
        found.append((R, c, s))
        cosine = (np.einsum("bij,bnij->bn", R, rotation) - 1.0) / 2.0
        near = np.linalg.norm(center - c[:, None], axis=-1) < DISTINCT_DIAMETERS
        left[(cosine > DISTINCT_COSINE) & near] = 0.0
        left[batch, best] = 0.0
    rotations, centers, scores = zip(*found, strict=True)
    return np.stack(rotations, 1), np.stack(centers, 1), np.stack(scores, 1)
