"""Detects new scenes in a camera stream, cheaply and robustly against sensor noise.

A frame is reduced to a thumbnail of 64x48 cells with three values each: the mean of the valid depth, the fraction of
valid depth, and the mean grey level. Grey levels are scaled to the median of the compared image, so that exposure and
daylight do not count. A cell differs if one of its values changed by more than a fixed step and by more than
`noise_factor` times its own fluctuation. The fluctuation is the change between frames of a static scene, estimated
continuously; edges and shiny surfaces flicker more than plain walls. Two frames differ if at least `min_cells`
connected cells do: noise is scattered, a removed part is not.

A new keyframe is a frame that differs from the last keyframe but not from the frame before it: the bin after the arm
has left it. If the scene never rests (a conveyor, a camera on the arm), a keyframe is taken after `patience_s` anyway.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_recording.config import KeyframeConfig

WIDTH, HEIGHT = 64, 48
# A cell with mostly invalid depth is not compared by depth.
_LEAST_VALID = 0.5
_LEARNING = 0.1
# The mean of |difference of two frames| is this many standard deviations of the noise of one frame: 2 / sqrt(pi).
_MEAN_OF_DIFFERENCE = 1.128

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Thumbnail:
    """A frame reduced to cells: depth_m, valid and gray (48, 64) float32; NaN where a cell has no depth."""

    depth_m: FloatMap
    valid: FloatMap
    gray: FloatMap

    @classmethod
    def of(cls, gray: npt.NDArray[np.uint8], depth_m: npt.NDArray[np.float32] | None) -> "Thumbnail":
        """The thumbnail of a grey image (H, W) and a depth image (H, W) in metres, 0 or NaN = invalid."""
        small = _shrunk(gray)
        if depth_m is None:
            return cls(np.full_like(small, np.nan), np.zeros_like(small), small)
        is_valid = (depth_m > 0).astype(np.float32)
        valid = _shrunk(is_valid)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = _shrunk(np.where(is_valid > 0, depth_m, 0)) / valid
        return cls(np.where(valid >= _LEAST_VALID, mean, np.nan).astype(np.float32), valid, small)

    def channels(self, like: "Thumbnail") -> npt.NDArray[np.float32]:
        """(3, 48, 64) depth, validity and grey, the latter scaled to the brightness of another thumbnail."""
        gain = float(np.median(like.gray)) / max(float(np.median(self.gray)), 1.0)
        return np.stack([self.depth_m, self.valid, self.gray * np.float32(np.clip(gain, 0.25, 4.0))])


class KeyframeChooser:
    """Decides for consecutive frames whether each is a new keyframe; the first one is."""

    def __init__(self, config: KeyframeConfig | None = None) -> None:
        self.config = config or KeyframeConfig()  # may be replaced between two frames
        # A third of a step is the initial estimate of a sensor's fluctuation.
        self._noise = np.broadcast_to(self._steps / 3, (3, HEIGHT, WIDTH)) / self.config.noise_factor
        self._key: Thumbnail | None = None
        self._last: Thumbnail | None = None
        self._changed_since_ns: int | None = None

    @property
    def _steps(self) -> FloatMap:
        steps = (self.config.depth_step_m, self.config.valid_step, self.config.gray_step)
        return np.array(steps, dtype=np.float32).reshape(3, 1, 1)

    def __call__(self, thumbnail: Thumbnail, stamp_ns: int) -> bool:
        """Whether the next frame, with its stamp in ns, is a keyframe."""
        last, self._last = self._last, thumbnail
        if self._key is None or last is None:
            self._key = thumbnail
            return True
        moving = self.differ(thumbnail, last)
        if not moving:
            self._learn(thumbnail, last)
        if not self.differ(thumbnail, self._key):
            self._changed_since_ns = None
            return False
        if self._changed_since_ns is None or stamp_ns < self._changed_since_ns:
            self._changed_since_ns = stamp_ns
        if moving and stamp_ns - self._changed_since_ns < self.config.patience_s * 1e9:
            return False
        self._key, self._changed_since_ns = thumbnail, None
        return True

    def differ(self, first: Thumbnail, second: Thumbnail) -> bool:
        """Whether enough connected cells changed between two frames."""
        change = np.abs(first.channels(like=second) - second.channels(like=second))
        # A cell without depth in one of the frames has no change of depth here; its validity changes.
        changed = (change > np.maximum(self._steps, self.config.noise_factor * self._noise)).any(axis=0)
        if np.count_nonzero(changed) < self.config.min_cells:
            return False
        stats = cv2.connectedComponentsWithStats(changed.astype(np.uint8), connectivity=8)[2]
        return bool(stats[1:, cv2.CC_STAT_AREA].max() >= self.config.min_cells)

    def _learn(self, thumbnail: Thumbnail, last: Thumbnail) -> None:
        """Update each cell's fluctuation while nothing moves; single outliers have little weight."""
        change = np.abs(thumbnail.channels(like=last) - last.channels(like=last)) / _MEAN_OF_DIFFERENCE
        change = np.where(np.isnan(change), self._noise, np.minimum(change, 3 * self._noise + self._steps / 30))
        self._noise = self._noise + _LEARNING * (change - self._noise)


def _shrunk(image: npt.NDArray[Any]) -> FloatMap:
    """Means of the cells (48, 64) of an image (H, W)."""
    return cv2.resize(image.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
