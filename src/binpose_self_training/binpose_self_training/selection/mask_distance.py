"""How far the silhouette of a pose is from the mask of its detection: paper 002, equation 3."""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_self_training.selection.pose_crops import PoseCrops


def mask_distance(crops: PoseCrops, occlusion_aware: bool = True) -> FloatArray:
    """d_mask = 1 - s of each pose.

    s is the mean of two fractions: of the mask's pixels that the pose covers, and of the pixels outside of the pose
    that the mask leaves out.

    Args:
        crops: windows around the poses.
        occlusion_aware: leave out pixels where something else lies in front of the pose, which no mask can have.

    Returns:
        (B,) in [0, 1]; 1 where the mask is empty.
    """
    observed, rendered, counted = crops.observed_mask, crops.rendered_mask, crops.inside
    if occlusion_aware:
        counted = counted & ~(crops.occluded & ~observed)
    foreground, outside = observed & counted, ~rendered & counted
    covered = _fraction(foreground & rendered, foreground)
    left_out = _fraction(outside & ~observed, outside)
    return np.where(foreground.any((1, 2)), 1.0 - 0.5 * (covered + left_out), 1.0)


def _fraction(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> FloatArray:
    """(B,) pixels of one mask (B, n, n) relative to those of another; 1 where the other is empty."""
    total = whole.sum((1, 2))
    return np.where(total > 0, part.sum((1, 2)) / np.maximum(total, 1), 1.0)
