"""What a teacher reports for recorded frames, with the evidence for each pose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from binpose_core.base.errors import BinposeError
from binpose_core.base.workers import ThisProcess, Workers
from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray
from binpose_estimator.estimator import PoseEstimator
from binpose_pipeline.bundle import PipelineBundle
from binpose_self_training.bin_teacher import BinTeacher, TaughtFrame
from binpose_self_training.gate.outcomes import reports
from binpose_self_training.recorded_frames import RecordedFrames, StoredFrame
from binpose_self_training.selection.image_distance import EncoderFeatures, PerceptualFeatures
from binpose_self_training.selection.repeated_views import Repetition
from binpose_self_training.selection.selector import SelectionConfig

PROBABLE = 0.5
"""Score from which a pose in another view counts as reported."""

Track = Callable[[Sequence[int]], Iterator[int]]
BinItem = Sequence[tuple[Callable[[], RgbdFrame], FloatArray | None]]
"""The views of a bin: what reads each, and the pose of its camera."""


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
        self.config, self.job = config, BinJob(BinTeacher(bundle, config, features or _own_features(bundle)))
        self._workers: Workers = workers or ThisProcess()
        self._repetition = Repetition(bundle.objects)
        self._errors = {name: PartErrors(part) for name, part in bundle.objects.items()}

    def __call__(self, frames: RecordedFrames, track: Track = iter) -> list[TaughtFrame]:
        """What the teacher makes of each frame, in their order.

        Args:
            frames: recorded.
            track: yields the numbers that it is given, and reports each.
        """
        groups = frames.groups(self.config.joint_views)
        order = [source.image_id for group in groups for source in group]
        found = self._workers.map(self.job, ([self._item(group)] for group in groups))
        each, taught = (one for views in found for one in views), dict[int, TaughtFrame]()
        for number in track(range(len(order))):
            taught[order[number]] = self._with_picks(next(each), frames.picks(order[number]))
        found.close()
        return [self._with_other_views(frames, taught, index) for index in range(len(frames))]

    def _item(self, group: Sequence[StoredFrame]) -> BinItem:
        return [(self._workers.reference(source.read), source.camera_pose()) for source in group]

    def _with_picks(self, taught: TaughtFrame, picks: Sequence[PickOutcome]) -> TaughtFrame:
        """The frame with what picks prove of its poses."""
        evidence = list(taught.evidence)
        for pick in picks:
            for n, pose in enumerate(taught.poses):
                if reports(pick, [pose], self._errors):
                    evidence[n] = replace(evidence[n], held=float(pick.succeeded))
        return replace(taught, evidence=evidence)

    def _with_other_views(self, frames: RecordedFrames, taught: Mapping[int, TaughtFrame], index: int) -> TaughtFrame:
        own, others = taught[index], frames.of_bin(index)
        T_world_cam = frames.infos[index].camera_pose
        if not others or T_world_cam is None or not self.config.certificate:
            return own
        views = [
            (pose, [p for p in taught[other].alone if p.score >= PROBABLE])
            for other in others
            if (pose := frames.infos[other].camera_pose) is not None
        ]
        same = self._repetition.in_other_views(own.poses, T_world_cam, views)
        evidence = [replace(entry, other_views=float(v)) for entry, v in zip(own.evidence, same, strict=True)]
        return replace(own, evidence=evidence)


class BinJob:
    """What a teacher makes of the views of a bin, for workers that read them.

    Args:
        teacher: of one bin.
    """

    def __init__(self, teacher: BinTeacher) -> None:
        self._teacher = teacher

    def __call__(self, item: BinItem) -> list[TaughtFrame]:
        """What the teacher makes of each view."""
        return self._teacher([read() for read, _ in item], [T_world_cam for _, T_world_cam in item])


def _own_features(bundle: PipelineBundle) -> PerceptualFeatures:
    if not isinstance(bundle.estimator, PoseEstimator):
        raise BinposeError(
            f"A teacher with a {type(bundle.estimator).__name__} has no backbone to compare images with; expected a "
            "trained PoseEstimator; give other features."
        )
    return EncoderFeatures(bundle.estimator)
