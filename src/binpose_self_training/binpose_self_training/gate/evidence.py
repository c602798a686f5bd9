"""Evidence of two models on one frame without labels, as credit in [0, 1].

Poses of both models are assigned to places, each with at least one verified pose of either model. A model is credited
for one pose in each place, the one that it ranks first itself. So neither many poses in one place nor high scores of
its own help, and a model that reports nothing gets nothing. The number of places and the bin's content are the same for
both models.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_pipeline.scene.unexplained import bin_content
from binpose_self_training.gate.judge import Judge, JudgedPose, Mask


@dataclass(frozen=True)
class EvidenceConfig:
    """Weights of the parts of the credit, which sum to 1, and the difference that decides a frame.

    verified: of the probability-weighted verified poses.
    explained: of the explained fraction of the bin's content.
    agreement: of the agreement of the poses with the depth.
    decisive: difference of credit at which a frame counts as wholly won or lost.
    """

    verified: float = setting(0.5, bounds=FRACTION)
    explained: float = setting(0.3, bounds=FRACTION)
    agreement: float = setting(0.2, bounds=FRACTION)
    decisive: float = setting(0.25, bounds=(0.01, 1.0))

    def __post_init__(self) -> None:
        check_bounds(self)
        total = self.verified + self.explained + self.agreement
        if abs(total - 1.0) > 1e-6:
            raise BinposeError(f"The weights of EvidenceConfig sum to {total:g}; expected a sum of 1.")


@dataclass(frozen=True)
class ModelEvidence:
    """The evidence of one model on a frame.

    reported: poses. verified: places with a verified pose of this model.
    wrong: expected number of wrong poses beside these, among them all further poses in one place. Poses without depth
        on them are not counted.
    probability: sum over the verified poses. verified_share, explained_share, agreement_share: the parts of the credit,
        in [0, 1].
    credit: in [0, 1].
    """

    reported: int
    verified: int
    wrong: float
    probability: float
    verified_share: float
    explained_share: float
    agreement_share: float
    credit: float

    def to_json(self) -> dict[str, Any]:
        """The numbers by name."""
        return asdict(self)


@dataclass(frozen=True)
class PairedEvidence:
    """The evidence of both models on a frame.

    places: with a verified pose of either model.
    """

    champion: ModelEvidence
    candidate: ModelEvidence
    places: int

    @property
    def difference(self) -> float:
        """Credit of the candidate minus that of the champion, in [-1, 1]."""
        return self.candidate.credit - self.champion.credit


def paired_evidence(
    frame: RgbdFrame,
    champion: Sequence[PoseEstimate],
    candidate: Sequence[PoseEstimate],
    judge: Judge,
    detections: Sequence[Detection] = (),
    config: EvidenceConfig | None = None,
) -> PairedEvidence:
    """The evidence of two models on one frame.

    Args:
        frame: with depth.
        champion: poses that the model in use reports.
        candidate: poses that the other model reports.
        judge: measures both.
        detections: of the champion; they outline the bin.
        config: weights.

    Raises:
        BinposeError: for a frame without depth.
    """
    if frame.depth_m is None:
        raise BinposeError(f"Frame {frame.name!r} has no depth; expected RGB-D frames as evidence; record depth too.")
    judged = judge(frame, champion, candidate), judge(frame, candidate, champion)
    places = places_of([*judged[0], *judged[1]], judge)
    explained = [judge.explained(frame, poses) for poses in judged]
    content = bin_content(frame, explained[0] | explained[1], detections)
    first, second = (
        _evidence(poses, places, _fraction(mask, content), judge, config or EvidenceConfig())
        for poses, mask in zip(judged, explained, strict=True)
    )
    return PairedEvidence(first, second, len(places))


def places_of(judged: Sequence[JudgedPose], judge: Judge) -> list[Mask]:
    """The confirmed pixels of one verified pose for each place, the most probable first."""
    places: list[Mask] = []
    for one in sorted((one for one in judged if one.verified), key=lambda one: -one.probability):
        if not any(judge.same_place(one.confirmed, place) for place in places):
            places.append(one.confirmed)
    return places


def _evidence(
    judged: Sequence[JudgedPose], places: Sequence[Mask], explained: float, judge: Judge, config: EvidenceConfig
) -> ModelEvidence:
    in_place = [_place_of(one, places, judge) for one in judged]
    chosen: dict[int, JudgedPose] = {}
    for one, place in zip(judged, in_place, strict=True):
        if place is not None and (place not in chosen or _rank(one) > _rank(chosen[place])):
            chosen[place] = one
    verified = [one for one in chosen.values() if one.verified]
    doubles = sum(place is not None for place in in_place) - len(chosen)
    unverified = [one for one, place in zip(judged, in_place, strict=True) if place is None]
    unverified += [one for one in chosen.values() if not one.verified]
    wrong = doubles + sum(1.0 - one.probability for one in unverified if np.isfinite(one.agreement))
    total, probability = max(len(places) + wrong, 1.0), sum(one.probability for one in verified)
    agreement = sum(one.agreement for one in verified)
    shares = probability / total, explained, agreement / total
    credit = min(float(np.dot(shares, (config.verified, config.explained, config.agreement))), 1.0)
    return ModelEvidence(len(judged), len(verified), wrong, probability, *shares, credit)


def _place_of(one: JudgedPose, places: Sequence[Mask], judge: Judge) -> int | None:
    """The place that shares the most pixels with a pose, None where it stands in none."""
    shared = [
        int(np.count_nonzero(one.confirmed & place)) if judge.same_place(one.confirmed, place) else 0
        for place in places
    ]
    return int(np.argmax(shared)) if any(shared) else None


def _rank(one: JudgedPose) -> tuple[float, float]:
    """The model's own ranking; among equal claims the least probable pose, so that claiming all alike gains nothing."""
    return one.claimed, -one.probability


def _fraction(mask: Mask, content: Mask) -> float:
    total = int(np.count_nonzero(content))
    return int(np.count_nonzero(mask & content)) / total if total else 0.0
