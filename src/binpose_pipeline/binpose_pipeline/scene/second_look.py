"""Looking again at what a frame's poses leave unexplained, until nothing is added or the time is over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.masks import mask_iou
from binpose_core.frames.types import Detection


@dataclass(frozen=True)
class LookConfig:
    """How often a frame is looked at.

    looks: largest number of looks at a frame; 1 for a single one. Each later look leaves out what is explained.
    budget_ms: wall-clock time after which no further look begins; 0 for no limit. The first look is always completed.
    within_explained: a detection of a later look is dropped when more than this fraction of its mask is explained.
    same_mask: a detection of a later look is dropped when its mask overlaps an earlier one by more than this (IoU).
    """

    looks: int = setting(3, bounds=(1, 20), live=True)
    budget_ms: float = setting(0.0, bounds=(0.0, 1e6), live=True)
    within_explained: float = setting(0.5, bounds=FRACTION, live=True)
    same_mask: float = setting(0.8, bounds=FRACTION, live=True)

    def __post_init__(self) -> None:
        check_bounds(self)


class Deadline:
    """Decides whether another look fits into the time; it is expected to take as long as the longest later one.

    Args:
        config: number of looks and time.
        spent: seconds that the frame has taken so far.
        first_guess: seconds that the first later look is expected to take.
    """

    def __init__(self, config: LookConfig, spent: Callable[[], float], first_guess: Callable[[], float]) -> None:
        self._config, self._spent, self._guess = config, spent, first_guess
        self._before = self._longest = 0.0

    def another(self, done: int) -> bool:
        """Whether a look after `done` ones may begin."""
        spent = self._spent()
        if done > 1:
            self._longest = max(self._longest, spent - self._before)
        self._before = spent
        if done >= self._config.looks:
            return False
        expected = self._longest or self._guess()
        return not self._config.budget_ms or spent + expected <= self._config.budget_ms / 1000


def new_detections(
    found: Sequence[Detection],
    known: Sequence[Detection],
    explained: npt.NDArray[np.bool_],
    config: LookConfig,
) -> list[Detection]:
    """The detections of a later look that show something new, in their order.

    Args:
        found: in the frame without what is explained.
        known: of the earlier looks.
        explained: (H, W) pixels that were left out.
        config: what counts as new.
    """
    height, width = explained.shape
    full = [detection.full_mask(height, width) for detection in known]
    new = []
    for detection in found:
        mask = detection.full_mask(height, width)
        size = int(mask.sum())
        if size == 0 or np.count_nonzero(mask & explained) > config.within_explained * size:
            continue
        if any(mask_iou(mask, other) > config.same_mask for other in full):
            continue
        new.append(detection)
    return new
