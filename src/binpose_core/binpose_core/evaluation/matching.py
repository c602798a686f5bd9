"""Estimates against known poses: who is right, how many are found, how well the scores rank them.

In each frame and for each object the estimates choose among the known poses by falling score, as in BOP:
each takes the nearest one that is still free, if its error is below the threshold. Since an
estimate never takes anything from one with a higher score, the matches at any score threshold are those of
all estimates with the lower scores left out, and one matching gives the whole precision-recall curve.

Known poses need not be complete. A part that is hardly visible, or whose annotation is in doubt, is
ignored: finding it is no mistake and missing it neither. Where not every part of an object is annotated, an
estimate without a counterpart is unknown rather than wrong, precision is not available, and what remains to
be said is whether it lies outside the region where parts can be. The same holds for single estimates where the
labels of some pixels are not known: an estimate that would be visible there is unknown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError, UnknownObject
from binpose_core.datasets.bop import BopFrame
from binpose_core.evaluation.pose_errors import ERROR_NAMES, ErrorName, PartErrors
from binpose_core.frames.camera import Camera
from binpose_core.frames.filters import PoseFilter
from binpose_core.frames.labels import lies_on
from binpose_core.frames.region import Region
from binpose_core.frames.types import LabelledView, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, transform

NOBODY = -1
HALF_VISIBLE = 0.5
"""The least visible fraction of the parts that a model's own figures are about."""


@dataclass(frozen=True)
class EvaluationConfig:
    """When a pose is right and which parts count.

    error: "add_s" (ADI for symmetric parts, ADD for others), "add", "adi" or "mssd".
    max_error: of the diameter; an error strictly below it is right.
    min_visible_fraction: parts less visible are ignored.
    score_threshold: estimates from this score on count for recall and precision.
    """

    error: ErrorName = "add_s"
    max_error: float = 0.1
    min_visible_fraction: float = 0.1
    score_threshold: float = PoseFilter.threshold

    def __post_init__(self) -> None:
        if self.error not in ERROR_NAMES:
            raise BinposeError(f"error must be one of {', '.join(ERROR_NAMES)}, got {self.error!r}.")
        if not self.max_error > 0:
            raise BinposeError(f"max_error must be > 0 (a share of the diameter), got {self.max_error}.")
        if not 0 <= self.min_visible_fraction <= 1:
            raise BinposeError(f"min_visible_fraction must lie in [0, 1], got {self.min_visible_fraction}.")

    def counts(self, part: "GroundTruth") -> bool:
        """Whether a part has to be found."""
        return not part.ignored and not part.visible_fraction < self.min_visible_fraction


@dataclass(frozen=True)
class GroundTruth:
    """A part whose pose T_cam_obj (4, 4) is known; a visible_fraction of NaN counts as visible."""

    object_id: str
    T_cam_obj: FloatArray
    visible_fraction: float = float("nan")
    ignored: bool = False


@dataclass(frozen=True)
class FrameTruth:
    """What is known about a frame.

    complete: the objects of which every visible part is among `parts`; None = all objects.
    region: where in the image parts can be; None = everywhere. Needs `camera`.
    unknown: (H, W) bool, the pixels of which the labels are not known; None = none. Needs `camera`.
    """

    parts: Sequence[GroundTruth]
    complete: Collection[str] | None = None
    region: Region | None = None
    camera: Camera | None = None
    unknown: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if (self.region is not None or self.unknown is not None) and self.camera is None:
            raise BinposeError(
                "FrameTruth with a region or unknown pixels but no camera; expected the camera of the image; pass it."
            )

    def allows(self, center_cam: FloatArray) -> bool:
        """Whether a part's centre (3,) in the camera frame is seen where parts can be."""
        return self.region is None or self.camera is None or self.region.shows(center_cam, self.camera)

    def is_complete(self, object_id: str) -> bool:
        """Whether every visible part of the object is known."""
        return self.complete is None or object_id in self.complete


class Verdict(str, Enum):
    """What is known about an estimate."""

    RIGHT = "right"
    WRONG = "wrong"
    IGNORED = "ignored"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class MatchedEstimate:
    """An estimate and its verdict.

    part: index of the known part it was matched to, or -1.
    error_m: with respect to that part, infinite without one.
    outside: without a counterpart and its centre outside the region; always wrong.
    duplicate: without a counterpart, but right for a part that another estimate has taken.
    """

    object_id: str
    score: float
    verdict: Verdict
    part: int
    error_m: float
    outside: bool = False
    duplicate: bool = False


@dataclass(frozen=True)
class MatchedPart:
    """A known part that counts, and the estimate that found it: its score (-inf: none) and relative error."""

    object_id: str
    score: float
    relative_error: float


@dataclass(frozen=True)
class FrameEvaluation:
    """A frame judged: estimates in the order given, and the known parts that count."""

    name: str
    estimates: tuple[MatchedEstimate, ...]
    parts: tuple[MatchedPart, ...]
    complete: Collection[str] | None = field(default=None)


class Evaluator:
    """Judges frames, one after the other."""

    def __init__(self, errors: Mapping[str, PartErrors], config: EvaluationConfig | None = None) -> None:
        self._errors = errors
        self.config = config or EvaluationConfig()

    def __call__(self, name: str, truth: FrameTruth, estimates: Sequence[PoseEstimate]) -> FrameEvaluation:
        """Match the estimates of a frame to its known parts.

        Raises:
            BinposeError: for an estimate or a part of an unknown object.
        """
        judged: dict[int, MatchedEstimate] = {}
        parts: list[MatchedPart] = []
        for object_id in dict.fromkeys([*(part.object_id for part in truth.parts), *(e.object_id for e in estimates)]):
            rows = [row for row, estimate in enumerate(estimates) if estimate.object_id == object_id]
            columns = [column for column, part in enumerate(truth.parts) if part.object_id == object_id]
            found, counted = self._judge(object_id, truth, [estimates[row] for row in rows], columns)
            judged |= dict(zip(rows, found, strict=True))
            parts += counted
        return FrameEvaluation(name, tuple(judged[row] for row in range(len(estimates))), tuple(parts), truth.complete)

    def _judge(
        self, object_id: str, truth: FrameTruth, estimates: Sequence[PoseEstimate], columns: Sequence[int]
    ) -> tuple[list[MatchedEstimate], list[MatchedPart]]:
        """The estimates and known parts of one object."""
        part_errors, parts = self._part_errors(object_id), [truth.parts[column] for column in columns]
        counts = np.array([self.config.counts(part) for part in parts], dtype=bool)
        scores = np.array([estimate.score for estimate in estimates], dtype=np.float64)
        T_est, T_gt = (np.reshape([item.T_cam_obj for item in group], (-1, 4, 4)) for group in (estimates, parts))
        errors_m = right_errors_m(part_errors, T_est, T_gt, self.config)
        owners = match(errors_m, scores, np.inf, counts)
        judged = [
            self._verdict(estimate, owner, row, columns, counts, truth)
            for estimate, owner, row in zip(estimates, owners, errors_m, strict=True)
        ]
        found = {owner: row for row, owner in enumerate(owners) if owner != NOBODY}
        counted = [
            MatchedPart(object_id, scores[found[i]], errors_m[found[i], i] / part_errors.diameter_m)
            if i in found
            else MatchedPart(object_id, -np.inf, np.inf)
            for i in np.flatnonzero(counts)
        ]
        return judged, counted

    def _verdict(
        self,
        estimate: PoseEstimate,
        owner: int,
        errors_m: FloatArray,
        columns: Sequence[int],
        counts: npt.NDArray[np.bool_],
        truth: FrameTruth,
    ) -> MatchedEstimate:
        object_id, score = estimate.object_id, float(estimate.score)
        if owner != NOBODY:
            verdict = Verdict.RIGHT if counts[owner] else Verdict.IGNORED
            return MatchedEstimate(object_id, score, verdict, columns[owner], float(errors_m[owner]))
        center_cam = transform(estimate.T_cam_obj, self._part_errors(object_id).center_m[None])[0]
        outside = not truth.allows(center_cam)
        duplicate = bool(np.isfinite(errors_m).any())
        wrong = outside or duplicate or (truth.is_complete(object_id) and not self._on_unknown(estimate, truth))
        verdict = Verdict.WRONG if wrong else Verdict.UNKNOWN
        return MatchedEstimate(object_id, score, verdict, NOBODY, float("inf"), outside, duplicate)

    def _on_unknown(self, estimate: PoseEstimate, truth: FrameTruth) -> bool:
        if truth.unknown is None or truth.camera is None:
            return False
        points = self._part_errors(estimate.object_id).points
        return lies_on(truth.unknown, estimate.T_cam_obj, points, truth.camera, self.config.min_visible_fraction)

    def _part_errors(self, object_id: str) -> PartErrors:
        if object_id not in self._errors:
            raise UnknownObject(
                f"A pose of object {object_id!r} is to be evaluated, but only {', '.join(self._errors) or 'no object'} "
                "is known; add it to the catalogue or leave it out.",
                [object_id],
                self._errors,
            )
        return self._errors[object_id]


def right_errors_m(
    part: PartErrors, T_est: FloatArray, T_gt: FloatArray, config: EvaluationConfig | None = None
) -> FloatArray:
    """Errors (E, G) of the right poses among T_est (E, 4, 4) of parts in poses T_gt (G, 4, 4); infinite for others.

    The one definition of a right pose: its error is below `EvaluationConfig.max_error` of the diameter.
    """
    config = config or EvaluationConfig()
    limit_m = config.max_error * part.diameter_m
    errors_m = part.matrix(config.error, T_est, T_gt, limit_m)
    return np.where(errors_m < limit_m, errors_m, np.inf)


def is_right(
    object_id: str,
    T_cam_obj: FloatArray,
    parts: Sequence[GroundTruth],
    errors: Mapping[str, PartErrors],
    config: EvaluationConfig | None = None,
) -> bool | None:
    """Whether one of the known parts has this pose (4, 4), whatever other poses there are.

    None where no part that counts has it, but one that does not count: a pose that is right by chance tells nothing.
    """
    config = config or EvaluationConfig()
    same = [part for part in parts if part.object_id == object_id]
    truths = np.reshape([part.T_cam_obj for part in same], (-1, 4, 4))
    right = np.isfinite(right_errors_m(errors[object_id], T_cam_obj[None], truths, config))[0]
    if not right.any():
        return False
    return True if any(config.counts(part) for part, near in zip(same, right, strict=True) if near) else None


def match(
    errors: FloatArray, scores: FloatArray, threshold: float, counts: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """Give each estimate the nearest free part with an error below the threshold, by falling score.

    Source: pose_matching.py of bop_toolkit; parts that do not count are taken only where no other is near.

    Args:
        errors: (E, G).
        scores: (E,); equal ones in the order given.
        threshold: of the errors, strict.
        counts: (G,) false for parts to be ignored.

    Returns:
        (E,) indices of parts, -1 without one.
    """
    owners = np.full(len(scores), NOBODY, dtype=np.int64)
    counts = np.ones(errors.shape[1], dtype=bool) if counts is None else counts
    free = np.ones(errors.shape[1], dtype=bool)
    for row in np.argsort(-np.asarray(scores), kind="stable"):
        for group in (free & counts, free & ~counts):
            candidates = np.where(group, errors[row], np.inf)
            if candidates.size and candidates.min() < threshold:
                owners[row] = candidates.argmin()
                free[owners[row]] = False
                break
    return owners


def view_truths(view: LabelledView) -> list[GroundTruth]:
    """The parts of a labelled view of which class and pose are known."""
    return [
        GroundTruth(view.object_ids[i], view.T_cam_obj[i], float(view.visible_fraction[i]))
        for i in np.flatnonzero(view.pose_known)
    ]


def ground_truths(frame: BopFrame, doubtful: Collection[str] = ("low",)) -> list[GroundTruth]:
    """The annotated parts of a BOP frame under the names of their models.

    Args:
        frame: of a scene with ground truth.
        doubtful: values of `annotation_confidence` in scene_gt_info.json to be ignored.
    """
    models = frame.scene.dataset
    return [
        GroundTruth(
            models.model(truth.obj_id).object_id,
            truth.T_cam_obj,
            truth.visible_fraction,
            ignored=truth.info.get("annotation_confidence") in doubtful,
        )
        for truth in frame.ground_truth()
    ]


def labelled_scores(frames: Iterable[FrameEvaluation]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Scores (K,) and whether they were right (K,), of the estimates about which it is known: for calibration."""
    known = [e for frame in frames for e in frame.estimates if e.verdict in (Verdict.RIGHT, Verdict.WRONG)]
    return np.array([e.score for e in known]), np.array([e.verdict is Verdict.RIGHT for e in known], dtype=bool)
