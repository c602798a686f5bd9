"""From a frame to the poses of its parts."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from binpose_core.frames.region import Region
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.stages import Estimator, Refiner, Segmenter, StoredStage


@dataclass(frozen=True)
class Within:
    """A segmenter that finds nothing outside a region of the image."""

    segmenter: Segmenter
    region: Region

    def __call__(self, frame: RgbdFrame) -> list[Detection]:
        """The instances whose centres lie inside, best first."""
        return self.region.keep(self.segmenter(frame))

    def to_tensors(self) -> StoredStage:
        """What a model stores of the segmenter; the region belongs to a camera and is not stored."""
        return self.segmenter.to_tensors()


class TimedResult(NamedTuple):
    """A frame's poses, best score first, the wall-clock seconds of each stage in their order, and the detections."""

    poses: list[PoseEstimate]
    seconds: dict[str, float]
    detections: list[Detection]


@dataclass(frozen=True)
class Pipeline:
    """The stages in their order; all instances of a frame go through each of them in one batch."""

    segmenter: Segmenter
    estimator: Estimator
    refiner: Refiner

    def __call__(self, frame: RgbdFrame) -> list[PoseEstimate]:
        """The parts in the frame, best score first.

        Raises:
            BinposeError: when the frame lacks what a stage needs, for example depth.
        """
        return self.timed(frame).poses

    def timed(self, frame: RgbdFrame) -> TimedResult:
        """The same poses with the detections that they came from, and the time of each stage."""
        watch = Stopwatch()
        detections = watch.around("detection", self.segmenter)(frame)
        poses = watch.around("pose", self.estimator)(frame, detections)
        refined = watch.around("refinement", self.refiner)(frame, detections, poses)
        return TimedResult(refined, watch.seconds, detections)


@dataclass(frozen=True)
class Stopwatch:
    """Measures calls by name; `seconds` adds up those of the same name."""

    seconds: dict[str, float] = field(default_factory=dict)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added to `seconds[name]` at each call, also when it raises."""

        def measured(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

        return measured
