"""A student: the networks of a teacher, trained further on pseudo labels and replayed views."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar, overload

import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.workers import Workers
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import LabelledView
from binpose_core.learning.hooks import Hook
from binpose_detection.segmenter import VoteSegmenter
from binpose_detection.training import train_segmenter
from binpose_estimator.estimator import PoseEstimator
from binpose_estimator.objective import Objective
from binpose_estimator.self_supervision import self_supervision_objective
from binpose_estimator.training import train_estimator
from binpose_estimator.unlabelled_crops import UnlabelledCrops
from binpose_estimator.weak_loss import WeakLossObjective
from binpose_pipeline.bundle import PipelineBundle
from binpose_self_training.config import StudentConfig

DETECTOR, POSE = "detector", "pose"
Value = TypeVar("Value")
Hooks = Callable[[str], Sequence[Hook]]


class ChosenViews(Sequence[LabelledView]):
    """Views of several sequences in one, each read on access; a view may occur more than once.

    Args:
        entries: sequence and index of each view.
    """

    def __init__(self, entries: Sequence[tuple[Sequence[LabelledView], int]]) -> None:
        self.entries = list(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> LabelledView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LabelledView]: ...
    def __getitem__(self, index: int | slice) -> LabelledView | Sequence[LabelledView]:
        if isinstance(index, slice):
            return ChosenViews(self.entries[index])
        views, own = self.entries[index]
        return views[own]


class ReadOnAccess(Sequence[Value]):
    """Values that calls give, each called on access.

    Args:
        reads: a call for each value.
    """

    def __init__(self, reads: Sequence[Callable[[], Value]]) -> None:
        self._reads = reads

    def __len__(self) -> int:
        return len(self._reads)

    @overload
    def __getitem__(self, index: int) -> Value: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Value]: ...
    def __getitem__(self, index: int | slice) -> Value | Sequence[Value]:
        if isinstance(index, slice):
            return ReadOnAccess(self._reads[index])
        return self._reads[index]()


def frames_of(views: Sequence[LabelledView]) -> Sequence[RgbdFrame]:
    """The frames of views, each read on access."""

    def frame(index: int) -> RgbdFrame:
        return views[index].frame

    return ReadOnAccess([partial(frame, index) for index in range(len(views))])


def joined_views(*parts: Sequence[LabelledView]) -> ChosenViews:
    """Sequences of views one after the other."""
    return ChosenViews([(part, i) for part in parts for i in range(len(part))])


def mixed_views(new: Sequence[LabelledView], replayed: Sequence[LabelledView], share: float) -> ChosenViews:
    """New and replayed views, the rarer kind repeated.

    Args:
        new: pseudo-labelled views, at least one.
        replayed: simulated and earlier views; may be empty.
        share: wanted fraction of replayed views, in [0, 1).
    """
    if not replayed or share <= 0:
        return joined_views(new)
    wanted = len(replayed) * (1.0 - share) / share
    times_new = max(1, round(wanted / len(new)))
    times_old = max(1, round(times_new * len(new) * share / (1.0 - share) / len(replayed)))
    return joined_views(*[new] * times_new, *[replayed] * times_old)


@dataclass(frozen=True, eq=False)
class StudentJob:
    """The training of a student, for a worker. Arguments as in `train_student`."""

    teacher: PipelineBundle
    config: StudentConfig
    seed: int

    def __call__(self, reads: Sequence[Callable[[], LabelledView]]) -> PipelineBundle:
        """The student, which has learnt from the views that these calls give."""
        with TemporaryDirectory() as directory:
            return train_student(self.teacher, ReadOnAccess(reads), self.config, self.seed, Path(directory))


@dataclass(frozen=True)
class StudentByWorker:
    """Trains students as `train_student` does, each by one worker; views travel by reference, one of each.

    A worker that ends is replaced, and the training begins anew. Its steps are not reported.
    """

    workers: Workers

    def __call__(
        self,
        teacher: PipelineBundle,
        views: ChosenViews,
        config: StudentConfig,
        seed: int,
        directory: Path,
        hooks: Hooks = lambda stage: (),
        device: str = "cpu",
    ) -> PipelineBundle:
        """The student; directory, hooks and device are those of another machine."""
        known: dict[tuple[int, int], Callable[[], LabelledView]] = {}
        for sequence, index in views.entries:
            if (id(sequence), index) not in known:
                known[id(sequence), index] = self.workers.reference(partial(sequence.__getitem__, index))
        reads = [known[id(sequence), index] for sequence, index in views.entries]
        results = self.workers.map(StudentJob(teacher, config, seed), [[reads]])
        student = next(results)
        results.close()
        return teacher.using(segmenter=student.segmenter, estimator=student.estimator)


def train_student(
    teacher: PipelineBundle,
    views: Sequence[LabelledView],
    config: StudentConfig,
    seed: int,
    directory: Path,
    hooks: Hooks = lambda stage: (),
    device: str = "cpu",
) -> PipelineBundle:
    """The teacher with networks that have learnt from the views; its scores stay calibrated as they were.

    Args:
        teacher: whose weights the networks begin with.
        views: pseudo-labelled and replayed.
        config: what is trained and how long.
        seed: of everything random.
        directory: of the checkpoints; an interrupted training resumes from them.
        hooks: of a stage's training loop, "detector" or "pose".
        device: where the networks are trained.

    Raises:
        BinposeError: for a teacher with other networks than the default ones.
    """
    segmenter, estimator = _networks(teacher)
    parts = teacher.objects
    if config.train_detector:
        segmenter = train_segmenter(
            views, parts, segmenter.config, config.detector, seed, directory / f"{DETECTOR}.safetensors",
            list(hooks(DETECTOR)), segmenter, device,
        )  # fmt: skip
    if config.train_pose:
        estimator = train_estimator(
            views, parts, estimator.config, config.pose, seed, directory / f"{POSE}.safetensors",
            list(hooks(POSE)), start=estimator, detect=segmenter, device=device,
            objective=pose_objective(views, estimator, segmenter, config, seed, device),
        )  # fmt: skip
    return teacher.using(segmenter=segmenter, estimator=estimator)


def pose_objective(
    views: Sequence[LabelledView],
    estimator: PoseEstimator,
    segmenter: VoteSegmenter,
    config: StudentConfig,
    seed: int,
    device: str = "cpu",
) -> Objective | None:
    """The losses without labels beside the preset's, where they are switched on; None = the preset's loss.

    The crops are those of the detector's detections in the frames of the views; their labels are not used.
    """
    if not (config.self_supervision.enabled or config.weak_loss.enabled):
        return None
    settings, parts = estimator.config, [estimator.objects[name] for name in estimator.config.objects]

    def crops(batch_size: int) -> UnlabelledCrops:
        return UnlabelledCrops(frames_of(views), segmenter, estimator.objects, settings, batch_size, seed=seed)

    objective = Objective(settings.preset.loss(parts, torch.device(device)))
    if (weak := config.weak_loss).enabled:
        objective = WeakLossObjective(objective, parts, crops(weak.batch_size), weak)
    if (own := config.self_supervision).enabled:
        start, drawn = estimator.network, crops(own.batch_size)
        objective = self_supervision_objective(objective, start, settings, parts, drawn, own, device, seed)
    return objective


def _networks(teacher: PipelineBundle) -> tuple[VoteSegmenter, PoseEstimator]:
    segmenter, estimator = teacher.segmenter, teacher.estimator
    if not isinstance(segmenter, VoteSegmenter) or not isinstance(estimator, PoseEstimator):
        raise BinposeError(
            f"A model with a {type(segmenter).__name__} and a {type(estimator).__name__} cannot train itself; expected "
            "a VoteSegmenter and a PoseEstimator; train one with the detector `votes`."
        )
    return segmenter, estimator
