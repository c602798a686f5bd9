"""Whether recordings were taken by the camera that a model is for.

Poses are metric, and the evidence for a label is measured in each frame. Frames of another camera therefore teach
nothing wrong, but less, and the gate compares models on frames unlike those to come: they are reported, not refused.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.frames.rgbd_frame import RgbdFrame

SAME = 0.02
"""Relative difference of focal lengths, and of principal points to the size, below which cameras are the same."""
COARSE = 2.0
"""Largest ratio of a frame's metres per pixel to those in which the networks see; details are missing above."""


@dataclass(frozen=True)
class CameraKind:
    """What is alike in all frames of one camera.

    width, height: in pixels. fx, fy, cx, cy: in pixels. color: whether its images have colour.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    color: bool

    @classmethod
    def of(cls, frame: RgbdFrame) -> "CameraKind":
        """That of a frame."""
        camera = frame.camera
        values = (camera.fx, camera.fy, camera.cx, camera.cy)
        return cls(camera.width, camera.height, *values, frame.color.ndim == 3)

    def is_like(self, other: "CameraKind") -> bool:
        """Whether frames of both may be of one camera, calibrated twice."""
        if (self.width, self.height, self.color) != (other.width, other.height, other.color):
            return False
        focal = max(abs(self.fx / other.fx - 1.0), abs(self.fy / other.fy - 1.0))
        center = max(abs(self.cx - other.cx) / self.width, abs(self.cy - other.cy) / self.height)
        return max(focal, center) <= SAME

    def __str__(self) -> str:
        kind = "colour" if self.color else "monochrome"
        return f"{kind} {self.width} x {self.height}, focal length {self.fx:.0f}"


def other_cameras(frames: Iterable[tuple[str, RgbdFrame]]) -> list[str]:
    """A sentence about each recording with frames of another camera than most frames.

    Args:
        frames: the path of the recording and the frame, of each.
    """
    kinds: list[CameraKind] = []
    seen: Counter[tuple[str, int]] = Counter()
    for recording, frame in frames:
        own = CameraKind.of(frame)
        number = next((n for n, kind in enumerate(kinds) if kind.is_like(own)), len(kinds))
        if number == len(kinds):
            kinds.append(own)
        seen[recording, number] += 1
    totals: Counter[int] = Counter()
    for (_, number), count in seen.items():
        totals[number] += count
    if len(totals) < 2:
        return []
    usual = totals.most_common(1)[0][0]
    return [
        f"{recording} has {count} frames of another camera ({kinds[number]}) than most frames ({kinds[usual]}); they "
        "are used; leave the recording out if the model is for the usual camera alone."
        for (recording, number), count in seen.items()
        if number != usual
    ]


def too_coarse(frames: Sequence[RgbdFrame], gsd_m: float) -> list[str]:
    """A sentence where the frames show the bin in much larger pixels than those in which a model's networks see.

    Args:
        frames: some of a self-training.
        gsd_m: metres per pixel of the networks.
    """
    sizes = [size for frame in frames if (size := _pixel_size_m(frame)) is not None]
    if not sizes or float(np.median(sizes)) <= COARSE * gsd_m:
        return []
    seen_mm = 1000 * float(np.median(sizes))
    return [
        f"A pixel of the recordings covers {seen_mm:.2f} mm of the bin; the model sees in pixels of {1000 * gsd_m:.2f} "
        "mm; few labels are to be expected; record with a camera that is nearer or finer."
    ]


def _pixel_size_m(frame: RgbdFrame) -> float | None:
    """Metres per pixel at the median depth; None without depth."""
    if frame.depth_m is None or not (frame.depth_m > 0).any():
        return None
    return float(np.median(frame.depth_m[frame.depth_m > 0])) / frame.camera.fx
