"""From a frame to the poses of its parts."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from binpose_core.base.stopwatch import Report, Stopwatch, no_report
from binpose_core.frames.filters import DetectionFilter
from binpose_core.frames.prepared_frame import AnyFrame, PreparedFrame, prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.stages import Estimator, Refiner, SceneRefiner, Segmenter
from binpose_pipeline.scene.second_look import Deadline, LookConfig, new_detections
from binpose_pipeline.scene.unexplained import unexplained_fraction

STAGES = DETECTION, POSE, REFINEMENT = "detection", "pose", "refinement"
"""Names under which the times of the stages are reported."""


class Proposals(NamedTuple):
    """What the networks propose for a frame: all detections, those that pass the filter, and the estimates of these."""

    found: list[Detection]
    detections: list[Detection]
    estimates: list[PoseEstimate]

    def joined(self, later: "Proposals") -> "Proposals":
        """These proposals followed by those of a later look."""
        return Proposals(self.found + later.found, self.detections + later.detections, self.estimates + later.estimates)


@dataclass(frozen=True, eq=False)
class TimedResult:
    """The result for a frame.

    poses: best score first. seconds: wall-clock time of each stage, in their order.
    detections: that the poses' `detection_index` refers to, of all looks.
    proposals: of the networks, of all looks; empty where they did not run.
    unexplained: fraction of the bin's content that no pose explains, see `unexplained_fraction`; NaN where unknown.
    """

    poses: list[PoseEstimate]
    seconds: dict[str, float]
    detections: list[Detection]
    proposals: Proposals = field(default_factory=lambda: Proposals([], [], []))
    unexplained: float = float("nan")


@dataclass(frozen=True)
class Pipeline:
    """The stages in their order; all instances of a frame go through each of them in one batch.

    chosen: which detections the later stages process.
    look: how often a frame is looked at. A refiner that is no `SceneRefiner` allows one look.
    """

    segmenter: Segmenter
    estimator: Estimator
    refiner: Refiner
    chosen: DetectionFilter = field(default=DetectionFilter(), kw_only=True)
    look: LookConfig = field(default=LookConfig(), kw_only=True)

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
        given = prepared(frame)
        proposals = self.propose(given, watch)
        if not isinstance(self.refiner, SceneRefiner):
            poses = watch.around(REFINEMENT, self.refiner)(frame, proposals.detections, proposals.estimates)
            return TimedResult(poses, watch.seconds, proposals.detections, proposals)
        return self._looks(given, proposals, self.refiner, watch)

    def propose(self, frame: AnyFrame, watch: Stopwatch) -> Proposals:
        """What the networks propose for a frame."""
        given = prepared(frame)
        found = watch.around(DETECTION, self.segmenter)(given)
        detections = self.chosen(found)
        return Proposals(found, detections, watch.around(POSE, self.estimator)(given, detections))

    def _looks(
        self, given: PreparedFrame, proposals: Proposals, refiner: SceneRefiner, watch: Stopwatch
    ) -> TimedResult:
        """Verify and choose; then look again at what is left, and choose among all, until nothing is added."""
        frame, seconds = given.frame, watch.seconds
        deadline = Deadline(self.look, lambda: sum(seconds.values()), lambda: seconds[DETECTION])
        verify, choose = watch.around(REFINEMENT, refiner.verify), watch.around(REFINEMENT, refiner.choose)
        pool = verify(frame, proposals.detections, proposals.estimates)
        poses = choose(frame, pool)
        explained, done, grown = refiner.explained(frame, poses), 1, True
        while frame.depth_m is not None and grown and explained.any() and deadline.another(done):
            more = self._propose_again(given, proposals, explained, watch)
            if not more.estimates:
                break
            proposals, done = proposals.joined(more), done + 1
            pool = verify(frame, proposals.detections, more.estimates, pool)
            poses = choose(frame, pool)
            before, explained = explained, refiner.explained(frame, poses)
            grown = bool((explained & ~before).any())
        unexplained = unexplained_fraction(frame, explained, proposals.detections, self.chosen.region)
        return TimedResult(poses, watch.seconds, proposals.detections, proposals, unexplained)

    def _propose_again(
        self, given: PreparedFrame, before: Proposals, explained: npt.NDArray[np.bool_], watch: Stopwatch
    ) -> Proposals:
        """What the networks propose for what is left, with indices that follow those of the earlier detections."""
        found = watch.around(DETECTION, self.segmenter)(given.without(explained))
        new = new_detections(found, before.found, explained, self.look)
        detections = self.chosen(new)
        estimates = watch.around(POSE, self.estimator)(given, detections) if detections else []
        first = len(before.detections)
        return Proposals(new, detections, [_moved(pose, index + first) for index, pose in _indexed(estimates)])


def _indexed(estimates: list[PoseEstimate]) -> list[tuple[int, PoseEstimate]]:
    """Estimates with the index of the detection of each."""
    return [(i if e.detection_index is None else e.detection_index, e) for i, e in enumerate(estimates)]


def _moved(pose: PoseEstimate, index: int) -> PoseEstimate:
    return replace(pose, detection_index=index)
