"""What the segmentation network says of every cell of its output."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binpose_detection.network import OFFSET_UNIT_PX, OUTPUT_STRIDE


@dataclass(frozen=True, eq=False)
class Votes:
    """The network's reading of a working view, one entry per cell (h, w) of OUTPUT_STRIDE x OUTPUT_STRIDE pixels.

    probabilities (C + 1, h, w); center_px (h, w, 2) in working pixels; depth_offset_m (h, w); scale_px (h, w);
    affinity (S, h, w), the probability that a cell and the one a step of `network.STEPS` further are of the same part,
    or (0, h, w) of a network that does not tell.
    """

    probabilities: npt.NDArray[np.float32]
    center_px: npt.NDArray[np.float32]
    depth_offset_m: npt.NDArray[np.float32]
    scale_px: npt.NDArray[np.float32]
    affinity: npt.NDArray[np.float32]

    @cached_property
    def foreground(self) -> npt.NDArray[np.float32]:
        """(h, w) probability of being a part."""
        return np.float32(1.0) - self.probabilities[0]

    @cached_property
    def center_cells(self) -> npt.NDArray[np.float32]:
        """(h, w, 2) voted centre (column, row) in cells; it may lie outside the grid."""
        return (self.center_px - np.float32((OUTPUT_STRIDE - 1) / 2)) / np.float32(OUTPUT_STRIDE)

    @cached_property
    def scale_cells(self) -> npt.NDArray[np.float32]:
        """(h, w) Laplace scale of the voted centre in cells."""
        return self.scale_px / np.float32(OUTPUT_STRIDE)


def read_votes(
    probabilities: npt.NDArray[np.float32],
    centers: npt.NDArray[np.float32],
    affinity: npt.NDArray[np.float32],
    gsd_m: float,
) -> Votes:
    """Votes of the network's outputs: probabilities (C + 1, h, w) and (S, h, w), centres (4, h, w)."""
    height, width = probabilities.shape[1:]
    middle = (OUTPUT_STRIDE - 1) / 2
    u = np.arange(width, dtype=np.float32) * OUTPUT_STRIDE + middle
    v = np.arange(height, dtype=np.float32) * OUTPUT_STRIDE + middle
    center = np.stack([centers[0] * OFFSET_UNIT_PX + u, centers[1] * OFFSET_UNIT_PX + v[:, None]], -1)
    scale = np.exp(np.clip(centers[3], -6.0, 3.0)) * OFFSET_UNIT_PX
    return Votes(probabilities, center, centers[2] * OFFSET_UNIT_PX * gsd_m, scale, affinity)
