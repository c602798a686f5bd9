"""Layers of detections that do not overlap, so that no detection loses pixels to a rival proposal for them.

A pixel has one owner in a label image. Detectors that propose several groupings of the same pixels would take them from
each other. Crops are therefore cut out, and hypotheses measured, layer by layer.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binpose_core.base.finite import finite_or_zero
from binpose_core.frames.types import Detection

LARGEST_OVERLAP = 0.3
"""Largest fraction of the smaller mask that two detections of one layer have in common."""
MOST_DETECTIONS = 1000
"""Number of detections up to which rivals are looked for; no detector proposes as many."""

Pairs = npt.NDArray[np.int64]


def rival_detections(detections: Sequence[Detection]) -> Pairs:
    """Pairs (P, 2) of detections that are proposals for the same pixels, lower index first."""
    if len(detections) > MOST_DETECTIONS:
        return np.zeros((0, 2), np.int64)
    boxes = np.array([d.bbox_xyxy for d in detections], np.int64).reshape(-1, 4)
    area = np.array([max(int(d.mask.sum()), 1) for d in detections], np.int64)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    found = []
    for i, j in np.argwhere(np.triu((low < high).all(-1), 1)):
        (x0, y0), (x1, y1) = low[i, j], high[i, j]
        one, other = (
            detections[k].mask[y0 - boxes[k, 1] : y1 - boxes[k, 1], x0 - boxes[k, 0] : x1 - boxes[k, 0]] for k in (i, j)
        )
        if np.count_nonzero(one & other) > LARGEST_OVERLAP * min(area[i], area[j]):
            found.append((i, j))
    return np.array(found, np.int64).reshape(-1, 2)


def layers_of(detections: Sequence[Detection], rows: Sequence[int], rivals: Pairs) -> list[list[int]]:
    """The rows in layers, the best detections first: each goes to the first layer without a rival of it."""
    score = finite_or_zero([detections[i].score for i in rows])
    excluded: dict[int, set[int]] = {}
    for i, j in rivals.tolist():
        excluded.setdefault(i, set()).add(j)
        excluded.setdefault(j, set()).add(i)
    layers: list[list[int]] = []
    for i in (rows[k] for k in np.argsort(-score, kind="stable")):
        free = (layer for layer in layers if i not in excluded or excluded[i].isdisjoint(layer))
        layer = next(free, None)
        if layer is None:
            layers.append([i])
        else:
            layer.append(i)
    return layers
