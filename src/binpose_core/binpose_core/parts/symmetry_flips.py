"""Half turns of parts that are round except for a detail, such as a disc with a notch.

Registration aligns the round surface with itself at any roll, because the detail is too small to affect it. Renderings
find the roll at which a half turn across the axis maps the detail onto itself.
"""

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.symmetries import ContinuousSymmetry, rotations_about
from binpose_core.parts.view_comparison import ViewComparison

COARSE, FINE = np.deg2rad(np.arange(360.0)), np.deg2rad(np.arange(-1.5, 1.55, 0.1))


def aligned_flip(line: ContinuousSymmetry, flip: FloatArray, views: ViewComparison) -> FloatArray:
    """The half turn (4, 4), rolled about the line, after which the views differ least.

    Args:
        line: the axis of the nearly round part.
        flip: (4, 4) a half turn about an axis that intersects the line at a right angle.
        views: of the part.
    """
    along = np.abs(views.directions @ line.axis)
    chosen = np.concatenate([np.argsort(-along)[:2], np.flatnonzero((along > 0.3) & (along < 0.8))[-3:]])
    roll = COARSE[_costs(line, flip, COARSE, views, chosen).argmin()]
    costs = _costs(line, flip, roll + FINE, views, chosen)
    roll += float(FINE[costs == costs.min()].mean())  # the mean of all that differ least
    return rotations_about(line.axis, line.offset, np.array([roll]))[0] @ flip


def _costs(
    line: ContinuousSymmetry,
    flip: FloatArray,
    rolls: FloatArray,
    views: ViewComparison,
    chosen: npt.NDArray[np.integer],
) -> npt.NDArray[np.integer]:
    """(K,) number of differing pixels in the chosen views after the flip and rolls (K,)."""
    motions = rotations_about(line.axis, line.offset, rolls) @ flip
    return np.array([views.differing(chosen, motion).sum() for motion in motions])
