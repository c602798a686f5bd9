"""The gate: a candidate replaces the champion only when it is proven to be better and no part loses.

The comparison is paired: both models get the same frames. The evidence on unlabelled frames is an anytime-valid test,
so that it may be looked at after every frame. Labelled anchor frames, the time per frame and recorded picks can refuse
a candidate, but never promote it.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.stopwatch import measured
from binpose_core.datasets.folder import FrameSource
from binpose_core.datasets.pick_outcomes import Outcomes
from binpose_core.evaluation.matching import FrameEvaluation
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_self_training.gate.anchors import (
    AnchorFrame,
    PartComparison,
    ScoreComparison,
    anchor_evaluator,
    compare_parts,
    compare_scores,
    known_truth,
)
from binpose_self_training.gate.comparison import Comparison
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.other_views import ViewsOf, no_views
from binpose_self_training.gate.reasons import decide, forgotten_parts
from binpose_self_training.gate.verdict import GateVerdict

Predict = Callable[[PipelineBundle, str, RgbdFrame], TimedResult]
"""The result of a model on a named frame."""
Progress = Callable[[str, int, int], None]
"""Takes the name of a step, and how many of how many frames are done."""


def predicted(bundle: PipelineBundle, name: str, frame: RgbdFrame) -> TimedResult:
    """The model's own result on a frame."""
    return bundle.pipeline.timed(frame)


def no_progress(step: str, done: int, total: int) -> None:
    """Ignore progress."""


class Gate:
    """Compares a candidate with the champion.

    Args:
        config: settings.
        predict: runs a model on a frame; may return stored results.
        progress: called after each frame.
    """

    def __init__(
        self, config: GateConfig | None = None, predict: Predict = predicted, progress: Progress = no_progress
    ) -> None:
        self.config = config or GateConfig()
        self._predict, self._progress = predict, progress

    def __call__(
        self,
        champion: PipelineBundle,
        candidate: PipelineBundle,
        frames: Iterable[FrameSource],
        anchors: Sequence[AnchorFrame] = (),
        outcomes: Outcomes | None = None,
        gathered: Comparison | None = None,
        views: ViewsOf = no_views,
    ) -> GateVerdict:
        """Decide about a candidate.

        Args:
            champion: the model in use.
            candidate: the model that may replace it.
            frames: unlabelled frames that neither model was trained on; they are compared in random order.
            anchors: labelled frames, see `stored_anchors`.
            outcomes: recorded picks by the name of the frame.
            gathered: evidence on other frames, for example of a `Shadow`; it is continued.
            views: other frames of the bin of each frame, where there are any.

        Raises:
            BinposeError: when a model cannot run at all.
        """
        seconds: dict[str, float] = {}
        with measured("gate", seconds.__setitem__):
            comparison = gathered or Comparison(champion, candidate, self.config)
            decision = self._decide(champion, candidate, list(frames), anchors, outcomes or {}, comparison, views)
        return decision(seconds["gate"])

    def _decide(
        self,
        champion: PipelineBundle,
        candidate: PipelineBundle,
        frames: Sequence[FrameSource],
        anchors: Sequence[AnchorFrame],
        outcomes: Outcomes,
        comparison: Comparison,
        views: ViewsOf,
    ) -> Callable[[float], GateVerdict]:
        notes: list[str] = []
        parts: tuple[PartComparison, ...] = ()
        scores: ScoreComparison | None = None
        missing = forgotten_parts(champion, candidate)
        if not missing:
            parts, scores = self._on_anchors(champion, candidate, anchors)
            refused = any(part.state == "lost" for part in parts) or (scores is not None and scores.state == "lost")
            if not (refused and self.config.early):
                self._on_frames(champion, candidate, frames, outcomes, comparison, notes, views)
        latency, picks = comparison.latency(), comparison.outcomes()
        decision, reasons = decide(self.config, missing, comparison, parts, scores, latency, picks)

        def verdict(seconds: float) -> GateVerdict:
            return GateVerdict(
                decision, reasons, champion.version, candidate.version, tuple(comparison.points), parts, scores,
                latency, picks, seconds, tuple(notes),
            )  # fmt: skip

        return verdict

    def _on_anchors(
        self, champion: PipelineBundle, candidate: PipelineBundle, anchors: Sequence[AnchorFrame]
    ) -> tuple[tuple[PartComparison, ...], ScoreComparison | None]:
        if not anchors:
            return (), None
        threshold = self.config.chosen.threshold
        objects = {**candidate.objects, **champion.objects}
        evaluate = anchor_evaluator(objects, threshold)
        judged: tuple[list[FrameEvaluation], list[FrameEvaluation]] = ([], [])
        for number, anchor in enumerate(anchors):
            truth = known_truth(anchor.truth, objects)
            results = self._both(number, champion, candidate, anchor.name, anchor.frame)
            for found, result in zip(judged, results, strict=True):
                found.append(evaluate(anchor.name, truth, result.poses))
            self._progress("anchors", number + 1, len(anchors))
        return compare_parts(*judged, threshold, self.config.anchors), compare_scores(*judged, self.config.anchors)

    def _on_frames(
        self,
        champion: PipelineBundle,
        candidate: PipelineBundle,
        frames: Sequence[FrameSource],
        outcomes: Outcomes,
        comparison: Comparison,
        notes: list[str],
        views: ViewsOf,
    ) -> None:
        order = np.random.default_rng(self.config.seed).permutation(len(frames))[: self.config.most_frames]
        for number, index in enumerate(order.tolist()):
            source = frames[index]
            try:
                frame = source.read()
                if comparison.is_new(frame):
                    results = self._both(number, champion, candidate, source.name, frame)
                    name = source.name
                    comparison.add(name, frame, *results, picks=outcomes.get(name, ()), views=views(name))
                else:
                    notes.append(f"Frame {source.name} equals an earlier one and was left out.")
            except BinposeError as error:
                notes.append(f"Frame {source.name} was left out: {error}")
            self._progress("frames", number + 1, len(order))
            if self.config.early and comparison.is_decided:
                break

    def _both(
        self, number: int, champion: PipelineBundle, candidate: PipelineBundle, name: str, frame: RgbdFrame
    ) -> tuple[TimedResult, TimedResult]:
        """The results of both models; each second time the candidate runs first, as the first may take longer."""
        if number % 2:
            later = self._predict(candidate, name, frame)
            return self._predict(champion, name, frame), later
        return self._predict(champion, name, frame), self._predict(candidate, name, frame)
