"""The evidence of two models on unlabelled frames, gathered frame by frame."""

import hashlib

import numpy as np

from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_refinement.refiner import IcpRefiner
from binpose_self_training.gate.betting import ConfidenceSequence, MeanBounds
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.evidence import PairedEvidence, paired_evidence
from binpose_self_training.gate.judge import Judge
from binpose_self_training.gate.latency import LatencyComparison, compare_latency
from binpose_self_training.gate.outcomes import OutcomeComparison, OutcomeCount, PickOutcome
from binpose_self_training.gate.verdict import FramePoint


def judge_of(champion: PipelineBundle, candidate: PipelineBundle, config: GateConfig) -> Judge:
    """The judge with the champion's verification, which knows the parts of both models."""
    refiner = champion.refiner
    known = {**candidate.objects, **champion.objects}
    if isinstance(refiner, IcpRefiner):
        return Judge(known, refiner.config, refiner.calibration, config.judge)
    return Judge(known, config=config.judge)


class Comparison:
    """Gathers the evidence of a candidate against the champion.

    Attributes:
        points: one per frame.
        bounds: of the candidate's mean advantage.
    """

    def __init__(self, champion: PipelineBundle, candidate: PipelineBundle, config: GateConfig) -> None:
        self.config = config
        self.points: list[FramePoint] = []
        self.bounds = MeanBounds()
        self._judge = judge_of(champion, candidate, config)
        self._sequence = ConfidenceSequence(config.betting)
        self._seconds: list[tuple[float, float]] = []
        self._seen: set[bytes] = set()
        parts = {**candidate.objects, **champion.objects}
        self._picks = OutcomeCount({name: PartErrors(part) for name, part in parts.items()}, config.anchors.alpha)

    def is_new(self, frame: RgbdFrame) -> bool:
        """Whether a frame has not been compared; a frame that is recorded twice is one piece of evidence."""
        return frame_digest(frame) not in self._seen

    def add(
        self,
        name: str,
        frame: RgbdFrame,
        champion: TimedResult,
        candidate: TimedResult,
        picks: tuple[PickOutcome, ...] = (),
    ) -> PairedEvidence:
        """Compare the results of both models on a frame.

        Raises:
            BinposeError: for a frame without depth.
        """
        chosen = self.config.chosen
        reported = chosen.reported(champion.poses), chosen.reported(candidate.poses)
        detections = champion.proposals.detections
        pair = paired_evidence(frame, *reported, self._judge, detections, self.config.evidence)
        self._seen.add(frame_digest(frame))
        self._seconds.append((sum(champion.seconds.values()), sum(candidate.seconds.values())))
        self._picks.add(picks, *reported)
        self._append(name, pair.champion.credit, pair.candidate.credit)
        return pair

    def _append(self, name: str, champion: float, candidate: float) -> None:
        advantage = (candidate - champion) / self.config.evidence.decisive
        self.bounds = self._sequence.add(float(np.clip(advantage, -1.0, 1.0)))
        self.points.append(FramePoint(name, champion, candidate, self.bounds.lower, self.bounds.upper))

    @property
    def mean_difference(self) -> float:
        """Mean difference of credit over all frames, not limited per frame; 0 without frames."""
        return float(np.mean([point.candidate - point.champion for point in self.points])) if self.points else 0.0

    @property
    def is_decided(self) -> bool:
        """Whether the candidate is proven to be better, or to be worse."""
        return self.bounds.is_positive or self.bounds.is_negative

    def latency(self) -> LatencyComparison | None:
        """The times of both models."""
        one, other = zip(*self._seconds, strict=True) if self._seconds else ((), ())
        return compare_latency(one, other, self.config.latency)

    def outcomes(self) -> OutcomeComparison | None:
        """The recorded picks."""
        return self._picks.result()


def frame_digest(frame: RgbdFrame) -> bytes:
    """A digest of a frame's images."""
    digest = hashlib.sha256(np.ascontiguousarray(frame.color).tobytes())
    if frame.depth_m is not None:
        digest.update(np.ascontiguousarray(frame.depth_m).tobytes())
    return digest.digest()
