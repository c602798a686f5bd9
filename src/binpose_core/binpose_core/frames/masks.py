"""What is asked of masks everywhere."""

import numpy as np
import numpy.typing as npt


def box_xyxy(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The box of a mask (H, W), half open: columns x0..x1-1 and rows y0..y1-1; (0, 0, 0, 0) of an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def mask_iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Intersection over union of two masks (H, W); 0 where both are empty."""
    return float((one & other).sum() / max(int((one | other).sum()), 1))
