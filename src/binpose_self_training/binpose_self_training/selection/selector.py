"""Which poses become pseudo labels, and why the others do not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from binpose_core.base.settings import FRACTION, NOT_NEGATIVE, check_bounds, setting
from binpose_core.datasets.view_sources import MOST_VIEWS
from binpose_self_training.selection.evidence import LabelEvidence
from binpose_self_training.selection.surface_distance import VisibleSurface
from binpose_self_training.selection.thresholds import Thresholds, adapted_thresholds


class Rejection(str, Enum):
    """Why a pose is no pseudo label."""

    NONE = ""
    FAILED_PICK = "a pick in this pose failed"
    SCORE = "score below the least one"
    APPEARANCE = "d_a above its threshold"
    GEOMETRY = "d_g above its threshold"
    DEPTH = "the depth does not agree"
    NOT_RETURNED = "not found again in the turned frame"
    OTHER_VIEWS = "other views report another pose"


@dataclass(frozen=True)
class SelectionConfig:
    """What a pose must fulfil to become a pseudo label; each criterion can be switched off.

    appearance, geometry: the thresholds on d_a and d_g of paper 002. They reject few wrong poses that the certificate
        accepts, and as many right ones.
    deviations: standard deviations above the mean at which these thresholds lie.
    certificate: the agreement of depth, test-time views and other views.
    score: least score of the teacher.
    depth_agreement: fraction of the visible surface with agreeing depth that is always enough for the certificate; with
        a coarse sensor, 1.5 deviations below the mean of probable poses of the part.
    test_time_views: views in which a pose must be found again for the certificate, 0 to 3.
    returned: least fraction of the test-time views that find a pose again.
    other_views: of the bin's other views that report a part in this place, the least fraction with the same pose.
    joint_views: views of a bin with known camera poses that the teacher estimates together, at most; 1 = each alone.
    visible: how the visible surface is found, "rendered" or "hidden_point_removal".
    occlusion_aware: leave out what other things hide.
    """

    appearance: bool = False
    geometry: bool = False
    deviations: float = setting(1.0, bounds=NOT_NEGATIVE)
    certificate: bool = True
    score: float = setting(0.5, bounds=FRACTION)
    depth_agreement: float = setting(0.9, bounds=FRACTION)
    test_time_views: int = setting(1, bounds=(0, 3))
    returned: float = setting(1.0, bounds=FRACTION)
    other_views: float = setting(0.5, bounds=FRACTION)
    joint_views: int = setting(4, bounds=(1, MOST_VIEWS))
    visible: VisibleSurface = "rendered"
    occlusion_aware: bool = True

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class LabelSelection:
    """The decisions about poses, in their order, and the thresholds that were in force."""

    rejections: Sequence[Sequence[Rejection]]
    thresholds: Thresholds

    def accepted(self, frame: int) -> list[bool]:
        """For each pose of a frame whether it is a pseudo label."""
        return [rejection is Rejection.NONE for rejection in self.rejections[frame]]

    @property
    def count(self) -> int:
        """Number of pseudo labels."""
        return sum(rejection is Rejection.NONE for frame in self.rejections for rejection in frame)


def select_labels(frames: Sequence[Sequence[LabelEvidence]], config: SelectionConfig) -> LabelSelection:
    """Decide about the poses of all recorded frames.

    Args:
        frames: the evidence for the poses of each frame.
        config: the criteria.
    """
    thresholds = adapted_thresholds(_all(frames), config.deviations, config.score)
    return LabelSelection([[rejection(e, thresholds, config) for e in frame] for frame in frames], thresholds)


def rejection(evidence: LabelEvidence, thresholds: Thresholds, config: SelectionConfig) -> Rejection:
    """The first reason that speaks against a pose, or `Rejection.NONE`.

    A part that was held in the gripper needs no other proof.
    """
    if evidence.held == 1.0:
        return Rejection.NONE
    limit = thresholds.of(evidence.object_id)
    reasons = [
        (Rejection.FAILED_PICK, evidence.held == 0.0),
        (Rejection.SCORE, evidence.score < config.score),
        (Rejection.APPEARANCE, config.appearance and not evidence.d_a <= limit.d_a),
        (Rejection.GEOMETRY, config.geometry and not evidence.d_g <= limit.d_g),
    ]
    if config.certificate:
        reasons += [
            (Rejection.DEPTH, not evidence.depth_agreement >= min(config.depth_agreement, limit.depth_agreement)),
            (Rejection.NOT_RETURNED, _below(evidence.returned, config.returned)),
            (Rejection.OTHER_VIEWS, _below(evidence.other_views, config.other_views)),
        ]
    return next((reason for reason, applies in reasons if applies), Rejection.NONE)


def _below(value: float, least: float) -> bool:
    """Whether a measured value is too low; one that was not measured is not."""
    return bool(np.isfinite(value) and value < least)


def _all(frames: Iterable[Iterable[LabelEvidence]]) -> list[LabelEvidence]:
    return [evidence for frame in frames for evidence in frame]
