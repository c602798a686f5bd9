"""Pseudo labels and teachers against known poses, for recordings that happen to have them.

A self-training reports these figures and decides nothing by them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopFrame
from binpose_core.datasets.folder import FrameSource
from binpose_core.evaluation.matching import (
    HALF_VISIBLE,
    EvaluationConfig,
    Evaluator,
    FrameTruth,
    Verdict,
    ground_truths,
)
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.evaluation.scores import summarise
from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.bundle import PipelineBundle
from binpose_self_training.bin_teacher import TaughtFrame
from binpose_self_training.recorded_frames import NamedFrames, RecordedFrames
from binpose_self_training.selection.selector import LabelSelection

CONFIG = EvaluationConfig(min_visible_fraction=HALF_VISIBLE)


@dataclass(frozen=True)
class LabelQuality:
    """How good pseudo labels are.

    labels: accepted poses about which it is known whether they are right. right: those that are.
    parts: at least half visible ones in the frames. labelled: those with a right label.
    """

    labels: int
    right: int
    parts: int
    labelled: int

    @property
    def precision(self) -> float:
        """Fraction of the labels that are right; NaN without any."""
        return self.right / self.labels if self.labels else float("nan")

    @property
    def label_yield(self) -> float:
        """Fraction of the visible parts that have a right label; NaN without any."""
        return self.labelled / self.parts if self.parts else float("nan")

    def to_json(self) -> dict[str, Any]:
        """The numbers by name."""
        return {**asdict(self), "precision": self.precision, "yield": self.label_yield}


def label_quality(
    truths: Sequence[FrameTruth | None], labels: Sequence[Sequence[PoseEstimate]], objects: Mapping[str, ObjectModel]
) -> LabelQuality:
    """Compare labels with the truth.

    Args:
        truths: of each frame, None where it is not known.
        labels: the accepted poses of each frame.
        objects: the parts by id.
    """
    evaluator = Evaluator({name: PartErrors(part) for name, part in objects.items()}, CONFIG)
    right = wrong = ignored = parts = labelled = 0
    for number, (truth, poses) in enumerate(zip(truths, labels, strict=True)):
        if truth is None:
            continue
        judged = evaluator(str(number), truth, poses)
        verdicts = [estimate.verdict for estimate in judged.estimates]
        right, wrong = right + verdicts.count(Verdict.RIGHT), wrong + verdicts.count(Verdict.WRONG)
        ignored += verdicts.count(Verdict.IGNORED)
        parts += len(judged.parts)
        labelled += sum(part.score > float("-inf") for part in judged.parts)
    return LabelQuality(right + wrong + ignored, right + ignored, parts, labelled)


class KnownTruth:
    """Measures the teacher of each round on labelled frames: its labels, and what it finds in test frames.

    Args:
        learnt: truth of each frame that is learnt from, None where it is not known.
        tests: labelled frames that no student learns from; may be empty.
    """

    def __init__(
        self, learnt: Sequence[FrameTruth | None], tests: Sequence[tuple[FrameSource, FrameTruth]] = ()
    ) -> None:
        self.learnt, self.tests = learnt, tests

    def __call__(
        self, teacher: PipelineBundle, taught: Sequence[TaughtFrame], selection: LabelSelection
    ) -> dict[str, Any]:
        """The quality of the labels, and the figures on the test frames, where the truth is known."""
        measured: dict[str, Any] = {}
        if any(truth is not None for truth in self.learnt):
            accepted = [
                [pose for pose, mark in zip(frame.poses, selection.accepted(index), strict=True) if mark]
                for index, frame in enumerate(taught)
            ]
            measured["labels"] = label_quality(self.learnt, accepted, teacher.objects).to_json()
        if self.tests:
            measured["test"] = test_figures(teacher, self.tests)
        return measured


def test_figures(bundle: PipelineBundle, tests: Sequence[tuple[FrameSource, FrameTruth]]) -> dict[str, Any]:
    """Recall, precision and average precision of a model on labelled frames, for all parts and for each."""
    evaluator = Evaluator({name: PartErrors(part) for name, part in bundle.objects.items()}, CONFIG)
    judged = [evaluator(source.name, truth, bundle.pipeline(source.read())) for source, truth in tests]
    summary = summarise(judged, CONFIG)
    return {
        score.object_id: {
            "parts": score.n_parts,
            "recall": score.recall,
            "precision": score.precision,
            "average_precision": score.curve.average_precision if score.curve is not None else None,
        }
        for score in (*summary.objects, summary.overall)
    }


test_figures.__test__ = False  # type: ignore[attr-defined]  # no test case, whatever pytest makes of the name


def truth_of(source: FrameSource, known: Mapping[str, ObjectModel]) -> FrameTruth | None:
    """The truth of a frame of a BOP data set with poses; None for other sources.

    Args:
        source: of any kind.
        known: the model's parts; others in the data set are left out.
    """
    if not isinstance(source, BopFrame):
        return None
    try:
        parts = [part for part in ground_truths(source) if part.object_id in known]
    except BinposeError:  # the data set has no poses of this frame
        return None
    return FrameTruth(parts)


def truths_of(
    frames: RecordedFrames, recordings: Sequence[NamedFrames], known: Mapping[str, ObjectModel]
) -> list[FrameTruth | None]:
    """The truth of each stored frame, where its recording has poses."""
    sources = {(str(r.path), source.name): source for r in recordings for source in r.frames}
    return [
        truth_of(source, known) if (source := sources.get((info.recording, info.name))) is not None else None
        for info in frames.infos
    ]
