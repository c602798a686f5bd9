"""What a teacher reports for recorded frames, with the evidence for each pose."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from binpose_core.base.errors import BinposeError
from binpose_core.base.workers import ThisProcess, Workers
from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_estimator.estimator import PoseEstimator
from binpose_pipeline.bundle import PipelineBundle
from binpose_self_training.gate.outcomes import reports
from binpose_self_training.recorded_frames import RecordedFrames
from binpose_self_training.selection.evidence import EvidenceMeter, LabelEvidence
from binpose_self_training.selection.image_distance import EncoderFeatures, PerceptualFeatures
from binpose_self_training.selection.repeated_views import Repetition, TestTimeView
from binpose_self_training.selection.selector import SelectionConfig

VIEWS = (TestTimeView(2), TestTimeView(1, gamma=0.7), TestTimeView(3, gamma=1.4))
PROBABLE = 0.5
"""Score from which a pose in another view counts as reported."""
LEAST_SCORE = 0.02
"""Poses below are not considered at all."""

Track = Callable[[Sequence[int]], Iterator[int]]


@dataclass(frozen=True, eq=False)
class TaughtFrame:
    """What a teacher makes of a frame.

    detections: of all looks. poses: chosen by the refiner, best first. evidence: for each of them.
    unexplained: fraction of the bin's content that no pose explains.
    """

    detections: list[Detection]
    poses: list[PoseEstimate]
    evidence: list[LabelEvidence]
    unexplained: float


class Teacher:
    """Estimates the poses of recorded frames and measures the evidence for each.

    Args:
        bundle: the model.
        config: which evidence is measured, and how.
        features: for d_image; by default the backbone of the model's pose network.
        workers: who looks at the frames; by default this process.

    Raises:
        BinposeError: for a model without a trained pose network and no other features.
    """

    def __init__(
        self,
        bundle: PipelineBundle,
        config: SelectionConfig,
        features: PerceptualFeatures | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.bundle, self.config = bundle, config
        self._workers: Workers = workers or ThisProcess()
        self._meter = EvidenceMeter(
            bundle.objects, features or _own_features(bundle), config.visible, config.occlusion_aware
        )
        self._repetition = Repetition(bundle.objects)
        self._errors = {name: PartErrors(part) for name, part in bundle.objects.items()}

    def __call__(self, frames: RecordedFrames, track: Track = iter) -> list[TaughtFrame]:
        """What the teacher makes of each frame, in their order.

        Args:
            frames: recorded.
            track: yields the indices that it is given, and reports each.
        """
        reads = ([self._workers.reference(source.read)] for source in frames.sources)
        found = self._workers.map(FrameJob(self), reads)
        taught = [self._with_picks(next(found), frames.picks(index)) for index in track(range(len(frames)))]
        found.close()
        return [self._with_other_views(frames, taught, index) for index in range(len(taught))]

    def frame(self, frame: RgbdFrame) -> TaughtFrame:
        """What the teacher makes of one frame, without other views of its bin."""
        result = self.bundle.pipeline.timed(frame)
        poses = [pose for pose in result.poses if pose.score >= LEAST_SCORE]
        evidence = self._meter(frame, result.detections, poses)
        views = VIEWS[: self.config.test_time_views] if self.config.certificate else ()
        returned = self._repetition.returned(frame, poses, views, self._reported)
        found = [replace(entry, returned=float(value)) for entry, value in zip(evidence, returned, strict=True)]
        return TaughtFrame(result.detections, poses, found, result.unexplained)

    def _reported(self, frame: RgbdFrame) -> list[PoseEstimate]:
        """Poses that count as found again: half as probable as a label is enough."""
        return [pose for pose in self.bundle.pipeline(frame) if pose.score >= 0.5 * self.config.score]

    def _with_picks(self, taught: TaughtFrame, picks: Sequence[PickOutcome]) -> TaughtFrame:
        """The frame with what picks prove of its poses."""
        evidence = list(taught.evidence)
        for pick in picks:
            for n, pose in enumerate(taught.poses):
                if reports(pick, [pose], self._errors):
                    evidence[n] = replace(evidence[n], held=float(pick.succeeded))
        return replace(taught, evidence=evidence)

    def _with_other_views(self, frames: RecordedFrames, taught: Sequence[TaughtFrame], index: int) -> TaughtFrame:
        own, others = taught[index], frames.of_bin(index)
        T_world_cam = frames.infos[index].camera_pose
        if not others or T_world_cam is None or not self.config.certificate:
            return own
        views = [
            (pose, [p for p in taught[other].poses if p.score >= PROBABLE])
            for other in others
            if (pose := frames.infos[other].camera_pose) is not None
        ]
        same = self._repetition.in_other_views(own.poses, T_world_cam, views)
        evidence = [replace(entry, other_views=float(v)) for entry, v in zip(own.evidence, same, strict=True)]
        return replace(own, evidence=evidence)


class FrameJob:
    """What a teacher makes of frames, for workers that read them.

    Args:
        teacher: whose model and settings are used.
    """

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = copy.copy(teacher)
        self._teacher._workers = ThisProcess()  # those of this machine do not belong to the job

    def __call__(self, read: Callable[[], RgbdFrame]) -> TaughtFrame:
        """What the teacher makes of one frame."""
        return self._teacher.frame(read())


def _own_features(bundle: PipelineBundle) -> PerceptualFeatures:
    if not isinstance(bundle.estimator, PoseEstimator):
        raise BinposeError(
            f"A teacher with a {type(bundle.estimator).__name__} has no backbone to compare images with; expected a "
            "trained PoseEstimator; give other features."
        )
    return EncoderFeatures(bundle.estimator)
