"""What a self-training reports of its rounds, as plain data in the run's folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from binpose_self_training.bin_teacher import TaughtFrame
from binpose_self_training.selection.selector import LabelSelection, Rejection


@dataclass(frozen=True)
class RoundRecord:
    """One round.

    number: from 1. teacher, student: versions; no student where the rounds ended.
    frames: that were looked at. poses: of the teacher with at least the least score. labels: accepted ones.
    labels_by_part: number of labels. rejections: number of poses by reason. thresholds: d_a and d_g by part.
    unexplained: mean fraction of the bins' content that the teacher does not explain.
    seconds: by stage. measured: figures of the teacher where labels exist, see `TruthCheck`.
    ended: why no student followed.
    """

    number: int
    teacher: str
    student: str
    frames: int
    poses: int
    labels: int
    labels_by_part: Mapping[str, int]
    rejections: Mapping[str, int]
    thresholds: Mapping[str, tuple[float, float]]
    unexplained: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RoundRecord":
        """The inverse of `to_json`."""
        thresholds = {name: (float(a), float(g)) for name, (a, g) in values["thresholds"].items()}
        return cls(**{**values, "thresholds": thresholds})


def round_record(
    number: int, teacher: str, taught: Sequence[TaughtFrame], selection: LabelSelection, score: float
) -> RoundRecord:
    """The record of a round before its student.

    Args:
        number: of the round.
        teacher: version.
        taught: frames.
        selection: among their poses.
        score: least score of a label; poses below are not counted.
    """
    decided = [
        (pose, rejection)
        for frame, rejections in zip(taught, selection.rejections, strict=True)
        for pose, rejection in zip(frame.poses, rejections, strict=True)
        if pose.score >= score or rejection is Rejection.NONE
    ]
    accepted = Counter(pose.object_id for pose, rejection in decided if rejection is Rejection.NONE)
    reasons = Counter(rejection.value for _, rejection in decided if rejection is not Rejection.NONE)
    known = [frame.unexplained for frame in taught if frame.unexplained == frame.unexplained]
    limits = selection.thresholds
    return RoundRecord(
        number,
        teacher,
        "",
        len(taught),
        len(decided),
        selection.count,
        dict(sorted(accepted.items())),
        dict(sorted(reasons.items())),
        {"all": (limits.common.d_a, limits.common.d_g)} | {k: (v.d_a, v.d_g) for k, v in limits.parts.items()},
        sum(known) / len(known) if known else 0.0,
    )


def evidence_entries(taught: Sequence[TaughtFrame], selection: LabelSelection) -> list[dict[str, Any]]:
    """The evidence for each pose and the decision, with the frame's index, as plain data."""
    return [
        {**evidence.to_json(), "frame": index, "rejection": rejection.value, "T_cam_obj": pose.T_cam_obj.tolist()}
        for index, (frame, rejections) in enumerate(zip(taught, selection.rejections, strict=True))
        for pose, evidence, rejection in zip(frame.poses, frame.evidence, rejections, strict=True)
    ]
