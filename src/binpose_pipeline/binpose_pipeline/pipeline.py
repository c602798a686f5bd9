"""From a frame to the poses of its parts."""

from dataclasses import dataclass, field
from typing import NamedTuple

from binpose_core.base.stopwatch import Report, Stopwatch, no_report
from binpose_core.frames.filters import DetectionFilter
from binpose_core.frames.prepared_frame import prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.stages import Estimator, Refiner, Segmenter

STAGES = DETECTION, POSE, REFINEMENT = "detection", "pose", "refinement"
"""Names under which the times of the stages are reported."""


class Proposals(NamedTuple):
    """What the networks propose for a frame: all detections, those that pass the filter, and the estimates of these."""

    found: list[Detection]
    detections: list[Detection]
    estimates: list[PoseEstimate]


@dataclass(frozen=True, eq=False)
class TimedResult:
    """The result for a frame.

    poses: best score first. seconds: wall-clock time of each stage, in their order.
    detections: that the poses' `detection_index` refers to.
    proposals: of the networks; empty where they did not run.
    """

    poses: list[PoseEstimate]
    seconds: dict[str, float]
    detections: list[Detection]
    proposals: Proposals = field(default_factory=lambda: Proposals([], [], []))


@dataclass(frozen=True)
class Pipeline:
    """The stages in their order; all instances of a frame go through each of them in one batch.

    chosen: which detections the later stages process.
    """

    segmenter: Segmenter
    estimator: Estimator
    refiner: Refiner
    chosen: DetectionFilter = field(default=DetectionFilter(), kw_only=True)

    def __call__(self, frame: RgbdFrame) -> list[PoseEstimate]:
        """The parts in the frame, best score first.

        Raises:
            BinposeError: when the frame lacks what a stage needs, for example depth.
        """
        return self.timed(frame).poses

    def timed(self, frame: RgbdFrame, *, report: Report = no_report) -> TimedResult:
        """The same poses with what they came from, and the time of each stage.

        Args:
            frame: what the camera saw.
            report: takes the time of each stage, also of one that raises.
        """
        watch = Stopwatch(report=report)
        proposals = self.propose(frame, watch)
        poses = watch.around(REFINEMENT, self.refiner)(frame, proposals.detections, proposals.estimates)
        return TimedResult(poses, watch.seconds, proposals.detections, proposals)

    def propose(self, frame: RgbdFrame, watch: Stopwatch) -> Proposals:
        """What the networks propose for a frame."""
        given = prepared(frame)
        found = watch.around(DETECTION, self.segmenter)(given)
        detections = self.chosen(found)
        return Proposals(found, detections, watch.around(POSE, self.estimator)(given, detections))
