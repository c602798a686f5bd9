"""The frozen labelled frames on which no part may lose: parts found, wrong poses and honest scores of two models.

Anchors are the golden frames of the model store (`binpose_core.evaluation.golden`), or simulated bins of a stated seed.
A right pose is that of `binpose_core.evaluation.matching`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from binpose_core.base.settings import check_bounds, setting
from binpose_core.evaluation.golden import RIGHT, GoldenFrame
from binpose_core.evaluation.matching import (
    HALF_VISIBLE,
    EvaluationConfig,
    Evaluator,
    FrameEvaluation,
    FrameTruth,
    ground_truths,
)
from binpose_core.evaluation.matching import Verdict as PoseVerdict
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.parts.catalogue import ALL_OBJECTS
from binpose_core.parts.objects import ObjectModel
from binpose_self_training.gate.paired_counts import loss_bounds, more_often

KEPT, LOST, OPEN = "kept", "lost", "open"
"""States of a part: not lost beyond the margin, lost, and not decided with these frames."""


@dataclass(frozen=True)
class AnchorConfig:
    """What no part may lose on the anchor frames.

    margin: largest loss of a part that is not excluded, as a fraction of its visible instances.
    overall_margin: the same for all parts together.
    alpha: error rate of each bound of a loss.
    wrong_per_gained: wrong poses that each further found part may bring; others count as a loss of the part.
    score_margin: largest rise of the mean squared error of the scores.
    """

    margin: float = setting(0.1, bounds=(0.0, 1.0))
    overall_margin: float = setting(0.05, bounds=(0.0, 1.0))
    alpha: float = setting(0.1, bounds=(1e-6, 0.5))
    wrong_per_gained: float = setting(0.5, bounds=(0.0, 10.0))
    score_margin: float = setting(0.03, bounds=(0.0, 1.0))

    def __post_init__(self) -> None:
        check_bounds(self)

    def margin_of(self, object_id: str) -> float:
        """The margin of a part, or of all parts together."""
        return self.overall_margin if object_id == ALL_OBJECTS else self.margin


@dataclass(frozen=True, eq=False)
class AnchorFrame:
    """A frame and what is known of its parts."""

    name: str
    frame: RgbdFrame
    truth: FrameTruth


@dataclass(frozen=True)
class PartComparison:
    """One part, or all, on the anchor frames.

    parts: visible instances. champion_found, candidate_found: of these; gained, lost: found by one model alone.
    champion_wrong, candidate_wrong: reported poses that are wrong.
    lowest, highest: bounds of the change of the found fraction, each except with probability alpha.
    state: "kept", "lost" or "open".
    """

    object_id: str
    parts: int
    champion_found: int
    candidate_found: int
    gained: int
    lost: int
    champion_wrong: int
    candidate_wrong: int
    lowest: float
    highest: float
    state: str

    @property
    def change(self) -> float:
        """Of the found fraction."""
        return (self.gained - self.lost) / self.parts if self.parts else 0.0

    def to_json(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)


@dataclass(frozen=True)
class ScoreComparison:
    """Mean squared error of the scores of all poses that are known to be right or wrong, and its rise."""

    champion_error: float
    candidate_error: float
    state: str

    def to_json(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)


def stored_anchors(frames: Sequence[GoldenFrame]) -> list[AnchorFrame]:
    """Golden frames as anchors; all annotated parts are known, those that are hardly visible do not count."""
    return [
        AnchorFrame(
            golden.source.name, golden.frame, FrameTruth(ground_truths(golden.source), camera=golden.frame.camera)
        )
        for golden in frames
    ]


def known_truth(truth: FrameTruth, objects: Mapping[str, ObjectModel]) -> FrameTruth:
    """What is known of the given parts."""
    return replace(truth, parts=[part for part in truth.parts if part.object_id in objects])


def anchor_evaluator(objects: Mapping[str, ObjectModel], threshold: float) -> Evaluator:
    """Judges poses on anchors as golden frames are judged: by MSSD, parts that are at least half visible."""
    config = EvaluationConfig(RIGHT.error, RIGHT.max_error, HALF_VISIBLE, threshold)
    return Evaluator({name: PartErrors(part) for name, part in objects.items()}, config)


def compare_parts(
    champion: Sequence[FrameEvaluation],
    candidate: Sequence[FrameEvaluation],
    threshold: float,
    config: AnchorConfig | None = None,
) -> tuple[PartComparison, ...]:
    """Each part, and all parts together as the last entry.

    Args:
        champion: evaluations of the anchor frames.
        candidate: of the same frames in the same order.
        threshold: score from which a pose is reported.
        config: margin and error rate.
    """
    names = sorted({part.object_id for frame in champion for part in frame.parts})
    pairs = list(zip(champion, candidate, strict=True))
    rows = [_part(name, [name], pairs, threshold, config or AnchorConfig()) for name in names]
    return (*rows, _part(ALL_OBJECTS, names, pairs, threshold, config or AnchorConfig()))


def compare_scores(
    champion: Sequence[FrameEvaluation], candidate: Sequence[FrameEvaluation], config: AnchorConfig | None = None
) -> ScoreComparison:
    """The scores of both models as probabilities of being right (Brier 1950)."""
    c = config or AnchorConfig()
    errors = [_squared_errors(frames) for frames in (champion, candidate)]
    one, other = (float(error.mean()) if len(error) else 0.0 for error in errors)
    return ScoreComparison(one, other, LOST if other - one > c.score_margin else KEPT)


def _squared_errors(frames: Sequence[FrameEvaluation]) -> np.ndarray[Any, np.dtype[np.float64]]:
    known = [e for frame in frames for e in frame.estimates if e.verdict in (PoseVerdict.RIGHT, PoseVerdict.WRONG)]
    return np.array([(e.score - (e.verdict is PoseVerdict.RIGHT)) ** 2 for e in known], np.float64)


def _part(
    object_id: str,
    names: Sequence[str],
    pairs: Sequence[tuple[FrameEvaluation, FrameEvaluation]],
    threshold: float,
    config: AnchorConfig,
) -> PartComparison:
    found = np.array([_found(one, other, names, threshold) for one, other in pairs], np.int64).sum(0)
    both, lost, gained, neither = found.tolist()
    wrong = [sum(_wrong(frame[i], names, threshold) for frame in pairs) for i in (0, 1)]
    count = both + lost + gained + neither
    lowest, highest = loss_bounds(gained, lost, count, config.alpha)
    state = _state(gained, lost, count, (lowest, highest), wrong, config.margin_of(object_id), config)
    return PartComparison(
        object_id, count, both + lost, both + gained, gained, lost, wrong[0], wrong[1], lowest, highest, state
    )


def _state(
    gained: int,
    lost: int,
    count: int,
    bounds: tuple[float, float],
    wrong: Sequence[int],
    margin: float,
    config: AnchorConfig,
) -> str:
    if not count:
        return OPEN
    allowed = config.wrong_per_gained * max(gained - lost, 0)
    added = (wrong[1] - wrong[0] - allowed) / count > margin
    if added and more_often(wrong[1], wrong[0], config.alpha):
        return LOST
    if (gained - lost) / count < -margin and bounds[1] < 0.0:
        return LOST
    return OPEN if added or bounds[0] < -margin else KEPT


def _found(
    champion: FrameEvaluation, candidate: FrameEvaluation, names: Sequence[str], threshold: float
) -> tuple[int, int, int, int]:
    """Parts found by both, by the champion alone, by the candidate alone, and by neither."""
    pairs = [
        (one.score >= threshold, other.score >= threshold)
        for one, other in zip(champion.parts, candidate.parts, strict=True)
        if one.object_id in names
    ]
    return (
        pairs.count((True, True)),
        pairs.count((True, False)),
        pairs.count((False, True)),
        pairs.count((False, False)),
    )


def _wrong(frame: FrameEvaluation, names: Sequence[str], threshold: float) -> int:
    return sum(
        e.verdict is PoseVerdict.WRONG and e.score >= threshold and e.object_id in names for e in frame.estimates
    )
