"""Pairwise comparison of the poses of one detection, on the pixels where their renderings differ.

A part that differs from its half turn by a groove gives two poses whose renderings agree on thousands of pixels and
differ on twenty. In scores over the whole part, noise on the common pixels dominates; in the comparison, they cancel.
"""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.kernels.pairwise import compare_pairs

SHRINK_PX = 6.0  # undecided pixels added to each comparison, which shrink margins that rest on few pixels


def compare_pairwise(
    depth_r: npt.NDArray[np.float32],
    windows: FloatArray,
    owner: npt.NDArray[np.int64],
    part: npt.NDArray[np.int64],
    rivals: npt.NDArray[np.int64],
    depth_o: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    tolerance_m: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Compare each hypothesis with its strongest rivals.

    Args:
        depth_r: (B, h, w) renderings in metres.
        windows: (B, 3) of the renderings, with integer steps, see `PartRenderer.windows`.
        owner: (B,) detection of each.
        part: (B,) object of each.
        rivals: (P, 2) pairs of hypotheses of one detection that cannot both be right.
        depth_o: (H, W) observed depth in metres.
        labels: (H, W) detection that covers each pixel.
        tolerance_m: depth difference that counts as agreement.

    Returns:
        margin: (B,) in [-1, 1], the least over the rivals of the same object: positive when the pose explains the
            pixels on which it differs from each of them better; 1 without a rival.
        differing: (B,) log10 of 1 + the number of pixels on which that margin is measured.
        kind: (B,) in [-1, 1], the least margin over rivals of other objects; 1 without such a rival.
    """
    count = len(owner)
    margin, differing, kind = np.ones(count), np.full(count, 3.0), np.ones(count)
    if not len(rivals):
        return margin, differing, kind
    costs = np.zeros((len(rivals), 3))
    compare_pairs(rivals, depth_r, windows, owner, depth_o, labels, tolerance_m, costs)
    for (i, j), (cost_i, cost_j, pixels) in zip(rivals, costs, strict=True):
        value = (cost_j - cost_i) / (pixels + SHRINK_PX)
        for k, sign in ((i, 1.0), (j, -1.0)):
            if part[i] != part[j]:
                kind[k] = min(kind[k], sign * value)
            elif sign * value < margin[k]:
                margin[k], differing[k] = sign * value, np.log10(1.0 + pixels)
    return margin, differing, kind
