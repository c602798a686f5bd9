"""Two poses of one detection compared where they differ, and only there.

A part that differs from its half turn by a groove gives two poses whose renderings agree on thousands of pixels and
disagree on twenty. Scores over the whole part drown those twenty in the noise of the others; here the common pixels
cancel.
"""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry import FloatArray
from binpose_refinement.kernels.duel import compare_pairs

SHRINK_PX = 6.0  # so many undecided pixels are added to every duel


def duels(
    depth_r: npt.NDArray[np.float32],
    windows: FloatArray,
    owner: npt.NDArray[np.int64],
    depth_o: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    tolerance_m: float,
) -> tuple[FloatArray, FloatArray]:
    """How each hypothesis fares against its strongest rival.

    Args:
        depth_r: (B, h, w) renderings in metres.
        windows: (B, 3) where they lie, with integer steps, see `Workshop.windows`.
        owner: (B,) detection of each; hypotheses of one detection are rivals.
        depth_o: (H, W) observed depth in metres.
        labels: (H, W) detection that covers each pixel.
        tolerance_m: depth difference that counts as agreement.

    Returns:
        margin: (B,) in [-1, 1], the least over the rivals: positive when the pose explains the pixels on which it
            differs from each of them better; 1 without a rival.
        differing: (B,) log10 of 1 + the number of pixels that the decision against that rival rests on.
    """
    count = len(owner)
    pairs = np.array([(i, j) for i in range(count) for j in range(i + 1, count) if owner[i] == owner[j]], np.int64)
    margin, differing = np.ones(count), np.full(count, 3.0)
    if not len(pairs):
        return margin, differing
    costs = np.zeros((len(pairs), 3))
    compare_pairs(pairs, depth_r, windows, owner, depth_o, labels, tolerance_m, costs)
    for (i, j), (cost_i, cost_j, pixels) in zip(pairs, costs, strict=True):
        value = (cost_j - cost_i) / (pixels + SHRINK_PX)
        for k, sign in ((i, 1.0), (j, -1.0)):
            if sign * value < margin[k]:
                margin[k], differing[k] = sign * value, np.log10(1.0 + pixels)
    return margin, differing
