"""Numbers that may be none."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def finite_or_zero(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """(N,) the values; 0 for those that are not finite."""
    return np.nan_to_num(np.array(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
