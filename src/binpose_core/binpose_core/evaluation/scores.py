"""Frames judged by `evaluation.matching`, summed up: recall, precision, their curve, and a table per object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.evaluation.matching import EvaluationConfig, FrameEvaluation, MatchedEstimate, MatchedPart, Verdict
from binpose_core.evaluation.metrics import auc
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ALL_OBJECTS


@dataclass(frozen=True)
class PrecisionRecall:
    """The curve over all score thresholds: scores (K,) falling, precision (K,), recall (K,) rising.

    average_precision: the area under it, precision taken as the best at the same or a higher recall.
    """

    scores: FloatArray
    precision: FloatArray
    recall: FloatArray
    average_precision: float


@dataclass(frozen=True)
class Score:
    """The figures of one object, or of all.

    n_parts: known parts that count; n_found: of them found with at least the score threshold.
    n_right, n_wrong, n_unknown, n_outside, n_duplicates: estimates with at least the score threshold.
    recall: NaN without parts. precision, curve: None where not every part is annotated.
    auc: area under recall over the error up to the threshold, 1 when all are found without error.
    median_error: of the diameter, over the parts found; NaN without any.
    """

    object_id: str
    n_parts: int
    n_found: int
    n_right: int
    n_wrong: int
    n_unknown: int
    n_outside: int
    n_duplicates: int
    recall: float
    precision: float | None
    auc: float
    median_error: float
    curve: PrecisionRecall | None


@dataclass(frozen=True)
class Summary:
    """The scores of each object in the order of their names, and of all together."""

    objects: tuple[Score, ...]
    overall: Score
    config: EvaluationConfig

    def table(self) -> str:
        """A table in Markdown, one line per object and one for all."""
        lines = ["| object | parts | found | recall | precision | AP | AUC | median error | wrong | outside |"]
        lines.append("|---|---|---|---|---|---|---|---|---|---|")
        scores = (*self.objects, self.overall) if len(self.objects) > 1 else self.objects
        return "\n".join([*lines, *map(_row, scores)])


def summarise(frames: Sequence[FrameEvaluation], config: EvaluationConfig) -> Summary:
    """The scores of frames that were judged with `config`."""
    estimates = [estimate for frame in frames for estimate in frame.estimates]
    parts = [part for frame in frames for part in frame.parts]
    ids = sorted({estimate.object_id for estimate in estimates} | {part.object_id for part in parts})
    complete = {id for id in ids if all(frame.complete is None or id in frame.complete for frame in frames)}
    objects = tuple(
        _score(
            id,
            [estimate for estimate in estimates if estimate.object_id == id],
            [part for part in parts if part.object_id == id],
            id in complete,
            config,
        )
        for id in ids
    )
    return Summary(objects, _score(ALL_OBJECTS, estimates, parts, len(complete) == len(ids), config), config)


def precision_recall(estimates: Sequence[MatchedEstimate], n_parts: int) -> PrecisionRecall:
    """The curve of estimates that are right or wrong, the others left out; equal scores form one point."""
    known = [estimate for estimate in estimates if estimate.verdict in (Verdict.RIGHT, Verdict.WRONG)]
    scores = np.array([estimate.score for estimate in known], dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    right = np.cumsum([known[index].verdict is Verdict.RIGHT for index in order], dtype=np.float64)
    last = np.append(np.diff(scores) != 0, True)[: len(scores)]
    recall = (right / n_parts if n_parts else np.full(len(right), np.nan))[last]
    precision = (right / np.arange(1, len(right) + 1))[last]
    best = np.maximum.accumulate(precision[::-1])[::-1]
    area = float(np.diff(recall, prepend=0.0) @ best) if n_parts else float("nan")
    return PrecisionRecall(scores[last], precision, recall, area)


def _score(
    object_id: str,
    estimates: Sequence[MatchedEstimate],
    parts: Sequence[MatchedPart],
    complete: bool,
    config: EvaluationConfig,
) -> Score:
    sure = [estimate for estimate in estimates if estimate.score >= config.score_threshold]
    counts = {verdict: sum(estimate.verdict is verdict for estimate in sure) for verdict in Verdict}
    n_right, n_wrong = counts[Verdict.RIGHT], counts[Verdict.WRONG]
    errors = np.array([part.relative_error if part.score >= config.score_threshold else np.inf for part in parts])
    found = errors[np.isfinite(errors)]
    return Score(
        object_id,
        n_parts=len(parts),
        n_found=len(found),
        n_right=n_right,
        n_wrong=n_wrong,
        n_unknown=counts[Verdict.UNKNOWN],
        n_outside=sum(estimate.outside for estimate in sure),
        n_duplicates=sum(estimate.duplicate for estimate in sure),
        recall=len(found) / len(parts) if parts else float("nan"),
        precision=(n_right / (n_right + n_wrong) if n_right + n_wrong else float("nan")) if complete else None,
        auc=auc(errors, config.max_error),
        median_error=float(np.median(found)) if len(found) else float("nan"),
        curve=precision_recall(estimates, len(parts)) if complete else None,
    )


def _row(score: Score) -> str:
    precision = None if score.precision is None else f"{score.precision:.3f}"
    area = None if score.curve is None else f"{score.curve.average_precision:.3f}"
    cells = (
        score.object_id,
        score.n_parts,
        score.n_found,
        f"{score.recall:.3f}",
        precision or "not available",
        area or "not available",
        f"{score.auc:.3f}",
        f"{100 * score.median_error:.1f} %",
        score.n_wrong,
        score.n_outside,
    )
    return "| " + " | ".join(map(str, cells)) + " |"
