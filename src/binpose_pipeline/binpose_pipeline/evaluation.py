"""Estimates of many frames against known poses: every measure of the field, per object and for all."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.evaluation.bop_recall import BopRecall, BopScore
from binpose_core.evaluation.matching import (
    EvaluationConfig,
    Evaluator,
    FrameEvaluation,
    FrameTruth,
    GroundTruth,
    Verdict,
    labelled_scores,
)
from binpose_core.evaluation.metrics import BOP_FRACTIONS
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.evaluation.scores import Score, Summary, summarise
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import transform
from binpose_core.parts.catalogue import ALL_OBJECTS, ObjectModel
from binpose_pipeline.depth_check import DepthCheck, check_depth
from binpose_pipeline.reliability import reliability_json
from binpose_refinement.reliability import Reliability, reliability


@dataclass(frozen=True)
class EvaluationRow:
    """The figures of one object, or of all.

    metric: which of ADD and ADD-S decided what is right, at `EvaluationConfig.max_error` of the diameter.
    recall, mssd_recall: of the parts that count; precision: None where not every part is annotated.
    median_error_mm: of the parts found.
    auc: area under recall over the error up to `EvaluationConfig.max_error`, 1 when all are found without error.
    vsd, mssd, mspd: BOP's average recalls.
    unknown: estimates without a counterpart where the annotation is not complete.
    agree, contradicted: estimates that agree with the depth, and those that it contradicts; no labels are needed.
    """

    object_id: str
    metric: str
    parts: int
    found: int
    recall: float
    precision: float | None
    median_error_mm: float
    auc: float
    mssd_recall: float
    vsd: float | None
    mssd: float
    mspd: float
    wrong: int
    outside: int
    unknown: int
    agree: int = 0
    contradicted: int = 0


@dataclass(frozen=True)
class EvaluationResult:
    """rows: one per object and one for all; frames: what was judged, by name; depth_check: of all estimates."""

    rows: tuple[EvaluationRow, ...]
    frames: Mapping[str, FrameEvaluation]
    reliability: Reliability
    config: EvaluationConfig
    depth_check: DepthCheck = field(default_factory=DepthCheck)

    def to_json(self) -> dict[str, Any]:
        """The figures, and per frame the verdict and error of each estimate."""
        return {
            "config": asdict(self.config),
            "objects": [asdict(row) for row in self.rows],
            "depth_check": self.depth_check.to_json(),
            "reliability": reliability_json(self.reliability),
            "frames": {name: [_judged(e) for e in frame.estimates] for name, frame in self.frames.items()},
        }


class PoseEvaluation:
    """Takes frames one after the other; `result` sums them up.

    Args:
        objects: the parts by id, with their symmetries.
        config: when a pose is right, and from which score on estimates count.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: EvaluationConfig | None = None) -> None:
        self.config = config or EvaluationConfig()
        self.objects = objects
        self._errors = {name: PartErrors(model) for name, model in objects.items()}
        self._evaluator = Evaluator(self._errors, self.config)
        self._mssd_config = replace(self.config, error="mssd")
        self._mssd_evaluator = Evaluator(self._errors, self._mssd_config)
        self._recalls = {name: BopRecall({name: model}) for name, model in objects.items()}
        self._frames: dict[str, FrameEvaluation] = {}
        self._mssd_frames: list[FrameEvaluation] = []
        self._sure: list[PoseEstimate] = []

    def add(
        self,
        name: str,
        truth: FrameTruth,
        poses: Sequence[PoseEstimate],
        camera: Camera,
        depth_m: npt.NDArray[np.float32] | None = None,
    ) -> FrameEvaluation:
        """Judge a frame's estimates, in any order and of any score.

        Raises:
            BinposeError: for an estimate or a part of an unknown object.
        """
        judged = self._judged(name, truth, poses)
        counted = [pose for pose in poses if pose.score >= self.config.score_threshold]
        self._sure += [replace(pose, hypotheses=()) for pose in counted]
        # BOP has no parts in doubt and none without annotation: what lies on such a part must not take another's place.
        # What is near a part that nothing else has found may be right at one of BOP's looser thresholds.
        found = {estimate.part for estimate in judged.estimates if estimate.verdict is Verdict.RIGHT}
        missed = [part for i, part in enumerate(truth.parts) if i not in found and self.config.counts(part)]
        sure = [
            pose
            for pose, estimate in zip(poses, judged.estimates, strict=True)
            if pose.score >= self.config.score_threshold
            and estimate.verdict is not Verdict.IGNORED
            and (estimate.verdict is not Verdict.UNKNOWN or self._near(pose, missed))
        ]
        for object_id, recall in self._recalls.items():
            estimates = [pose for pose in sure if pose.object_id == object_id]
            recall.add(self._counted(truth, object_id), estimates, camera, depth_m)
        return judged

    def miss(self, name: str, truth: FrameTruth) -> FrameEvaluation:
        """A frame that could not be read: every part of it that counts is missed.

        Raises:
            BinposeError: for a part of an unknown object.
        """
        for object_id, recall in self._recalls.items():
            recall.miss(self._counted(truth, object_id))
        return self._judged(name, truth, ())

    def result(self) -> EvaluationResult:
        """The figures of all frames so far."""
        frames = list(self._frames.values())
        summary = summarise(frames, self.config)
        mssd = _by_object(summarise(self._mssd_frames, self._mssd_config))
        bop = {name: recall.score() for name, recall in self._recalls.items()}
        bop[ALL_OBJECTS] = _pooled(bop.values())
        rows = tuple(
            self._row(score, mssd[score.object_id], bop[score.object_id], frames)
            for score in _by_object(summary).values()
        )
        reliable = reliability(*labelled_scores(frames))
        return EvaluationResult(rows, dict(self._frames), reliable, self.config, self._checked(ALL_OBJECTS))

    def _judged(self, name: str, truth: FrameTruth, poses: Sequence[PoseEstimate]) -> FrameEvaluation:
        self._frames[name] = self._evaluator(name, truth, poses)
        self._mssd_frames.append(self._mssd_evaluator(name, truth, poses))
        return self._frames[name]

    def _near(self, pose: PoseEstimate, parts: Iterable[GroundTruth]) -> bool:
        """Whether the middle of one of the parts is within the error that BOP's loosest threshold allows."""
        errors = self._errors[pose.object_id]
        middles = (
            transform(T_cam_obj, errors.center_m[None])
            for T_cam_obj in (pose.T_cam_obj, *(p.T_cam_obj for p in parts if p.object_id == pose.object_id))
        )
        middle, limit_m = next(middles), max(BOP_FRACTIONS) * errors.diameter_m
        return any(np.linalg.norm(other - middle) < limit_m for other in middles)

    def _counted(self, truth: FrameTruth, object_id: str) -> list[GroundTruth]:
        return [part for part in truth.parts if part.object_id == object_id and self.config.counts(part)]

    def _row(self, score: Score, mssd: Score, bop: BopScore, frames: Iterable[FrameEvaluation]) -> EvaluationRow:
        check = self._checked(score.object_id)
        return EvaluationRow(
            object_id=score.object_id,
            metric=self._metric(score.object_id),
            parts=score.n_parts,
            found=score.n_found,
            recall=score.recall,
            precision=score.precision,
            median_error_mm=self._median_error_mm(score.object_id, frames),
            auc=score.auc,
            mssd_recall=mssd.recall,
            vsd=bop.vsd,
            mssd=bop.mssd,
            mspd=bop.mspd,
            wrong=score.n_wrong,
            outside=score.n_outside,
            unknown=score.n_unknown,
            agree=check.agree,
            contradicted=check.contradicted,
        )

    def _checked(self, object_id: str) -> DepthCheck:
        return check_depth(pose for pose in self._sure if object_id in (ALL_OBJECTS, pose.object_id))

    def _metric(self, object_id: str) -> str:
        if object_id == ALL_OBJECTS:
            return "ADD(-S)"
        return "ADD-S" if self._errors[object_id].symmetric else "ADD"

    def _median_error_mm(self, object_id: str, frames: Iterable[FrameEvaluation]) -> float:
        """Over the found parts of the object, or of all."""
        errors = [
            1e3 * part.relative_error * self._errors[part.object_id].diameter_m
            for frame in frames
            for part in frame.parts
            if object_id in (ALL_OBJECTS, part.object_id) and part.score >= self.config.score_threshold
        ]
        return float(np.median(errors)) if errors else float("nan")


def frame_notes(judged: FrameEvaluation) -> list[str]:
    """A line per estimate: its error where it was matched, else its verdict."""
    notes = {Verdict.UNKNOWN: "not annotated", Verdict.WRONG: "wrong", Verdict.IGNORED: "not counted"}
    return [
        f"error {1e3 * e.error_m:.2f} mm" if np.isfinite(e.error_m) else notes.get(e.verdict, "")
        for e in judged.estimates
    ]


def missed_parts(
    judged: FrameEvaluation, truth: FrameTruth, objects: Collection[str], config: EvaluationConfig
) -> list[int]:
    """Indices of the known parts that count and that no estimate from the threshold on has found."""
    matched = {e.part for e in judged.estimates if e.score >= config.score_threshold}
    return [
        index
        for index, part in enumerate(truth.parts)
        if part.object_id in objects and index not in matched and config.counts(part)
    ]


def _by_object(summary: Summary) -> dict[str, Score]:
    return {score.object_id: score for score in (*summary.objects, summary.overall)}


def _pooled(scores: Iterable[BopScore]) -> BopScore:
    """The average recalls over all parts of several objects."""
    counted = [score for score in scores if score.n_parts]
    total = sum(score.n_parts for score in counted)

    def mean(values: Sequence[float]) -> float:
        weights = [score.n_parts for score in counted]
        return float(np.average(values, weights=weights)) if total else float("nan")

    vsd = [score.vsd for score in counted if score.vsd is not None]
    return BopScore(
        total,
        mean(vsd) if len(vsd) == len(counted) and vsd else None,
        mean([score.mssd for score in counted]),
        mean([score.mspd for score in counted]),
    )


def _judged(estimate: Any) -> dict[str, Any]:
    return {
        "object_id": estimate.object_id,
        "score": round(estimate.score, 4),
        "verdict": estimate.verdict.value,
        "error_mm": round(1e3 * estimate.error_m, 4) if np.isfinite(estimate.error_m) else None,
        "outside": estimate.outside,
        "duplicate": estimate.duplicate,
    }
