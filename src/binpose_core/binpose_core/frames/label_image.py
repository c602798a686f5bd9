"""The label image of detections: which of them a pixel belongs to."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binpose_core.base.finite import finite_or_zero
from binpose_core.frames.types import Detection

NO_DETECTION = -1


def label_image(
    detections: Sequence[Detection], height: int, width: int, order: Sequence[int] | None = None
) -> npt.NDArray[np.int32]:
    """Index of the detection that owns each pixel (height, width), `NO_DETECTION` where there is none.

    Args:
        detections: of the image; a box may reach out of it.
        height: of the image in pixels.
        width: of the image in pixels.
        order: in which the masks are drawn, the later ones on top; by default the highest score is on top, and of equal
            scores the earlier detection.
    """
    labels = np.full((height, width), NO_DETECTION, np.int32)
    if order is None:
        best_first = np.argsort(-finite_or_zero([detection.score for detection in detections]), kind="stable")
        order = best_first[::-1].tolist()
    for index in order:
        rows, columns = box_slices(detections[index].bbox_xyxy, (height, width))
        x0, y0, _, _ = detections[index].bbox_xyxy
        mask = detections[index].mask[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
        labels[rows, columns][mask] = index
    return labels


def box_slices(box_xyxy: tuple[int, int, int, int], shape: tuple[int, int], margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of an image of shape (height, width) within a margin in pixels around a box; may be empty."""
    x0, y0, x1, y1 = box_xyxy
    return _within(y0 - margin, y1 + margin, shape[0]), _within(x0 - margin, x1 + margin, shape[1])


def _within(start: int, stop: int, size: int) -> slice:
    start = min(max(start, 0), size)
    return slice(start, min(max(stop, start), size))
