"""The evidence of two models on unlabelled frames, gathered frame by frame."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.pick_outcomes import PickOutcome
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
from binpose_self_training.gate.other_views import OtherView
from binpose_self_training.gate.outcomes import OutcomeComparison, agreements, compare_outcomes
from binpose_self_training.gate.verdict import FramePoint


def judge_of(champion: PipelineBundle, candidate: PipelineBundle, config: GateConfig) -> Judge:
    """The judge with the champion's verification, which knows the parts of both models."""
    refiner = champion.refiner
    known = {**candidate.objects, **champion.objects}
    if isinstance(refiner, IcpRefiner):
        return Judge(known, refiner.config, refiner.calibration, config.judge)
    return Judge(known, config=config.judge)


@dataclass(frozen=True)
class ComparedFrame:
    """What the comparison keeps of a frame, as plain JSON data.

    champion, candidate: credit. champion_s, candidate_s: seconds of all stages.
    picks: whether each model agrees with each recorded pick. digest: of the images.
    """

    name: str
    champion: float
    candidate: float
    champion_s: float
    candidate_s: float
    picks: tuple[tuple[bool, bool], ...]
    digest: str


class Comparison:
    """Gathers the evidence of a candidate against the champion.

    Attributes:
        compared: the frames so far.
        points: the evidence after each of them.
        bounds: of the candidate's mean advantage.
    """

    def __init__(self, champion: PipelineBundle, candidate: PipelineBundle, config: GateConfig) -> None:
        self.config = config
        self.compared: list[ComparedFrame] = []
        self.points: list[FramePoint] = []
        self.bounds = MeanBounds()
        self._judge = judge_of(champion, candidate, config)
        self._sequence = ConfidenceSequence(config.betting)
        self._seen: set[str] = set()
        parts = {**candidate.objects, **champion.objects}
        self._errors = {name: PartErrors(part) for name, part in parts.items()}

    def is_new(self, frame: RgbdFrame) -> bool:
        """Whether a frame has not been compared; a frame that is recorded twice is one piece of evidence."""
        return frame_digest(frame) not in self._seen

    def add(
        self,
        name: str,
        frame: RgbdFrame,
        champion: TimedResult,
        candidate: TimedResult,
        picks: Sequence[PickOutcome] = (),
        views: Sequence[OtherView] = (),
    ) -> PairedEvidence:
        """Compare the results of both models on a frame; `views` are other frames of the same bin.

        Raises:
            BinposeError: for a frame without depth.
        """
        chosen = self.config.chosen
        reported = chosen.reported(champion.poses), chosen.reported(candidate.poses)
        detections, weights = champion.proposals.detections, self.config.evidence
        pair = paired_evidence(frame, *reported, self._judge, detections, weights, views)
        seconds = sum(champion.seconds.values()), sum(candidate.seconds.values())
        agreed = agreements(picks, *reported, self._errors)
        self.restore(
            ComparedFrame(name, pair.champion.credit, pair.candidate.credit, *seconds, agreed, frame_digest(frame))
        )
        return pair

    def restore(self, entry: ComparedFrame) -> None:
        """Take a frame that was compared before.

        Raises:
            BinposeError: for a credit outside of [0, 1].
        """
        if not (0.0 <= entry.champion <= 1.0 and 0.0 <= entry.candidate <= 1.0):
            raise BinposeError(
                f"Frame {entry.name} has credits {entry.champion} and {entry.candidate}; expected [0, 1]."
            )
        advantage = (entry.candidate - entry.champion) / self.config.evidence.decisive
        self.bounds = self._sequence.add(float(np.clip(advantage, -1.0, 1.0)))
        bounds = self.bounds.lower, self.bounds.upper
        self.points.append(FramePoint(entry.name, entry.champion, entry.candidate, *bounds))
        self.compared.append(replace(entry, picks=tuple((bool(a), bool(b)) for a, b in entry.picks)))
        self._seen.add(entry.digest)

    @property
    def mean_difference(self) -> float:
        """Mean difference of credit over all frames, not limited per frame; 0 without frames."""
        return float(np.mean([one.candidate - one.champion for one in self.compared])) if self.compared else 0.0

    @property
    def is_decided(self) -> bool:
        """Whether the candidate is proven to be better, or to be worse."""
        return self.bounds.is_positive or self.bounds.is_negative

    def latency(self) -> LatencyComparison | None:
        """The times of both models."""
        one, other = [frame.champion_s for frame in self.compared], [frame.candidate_s for frame in self.compared]
        return compare_latency(one, other, self.config.latency)

    def outcomes(self) -> OutcomeComparison | None:
        """The recorded picks."""
        return compare_outcomes([pair for one in self.compared for pair in one.picks], self.config.anchors.alpha)


def frame_digest(frame: RgbdFrame) -> str:
    """A digest of a frame's images."""
    digest = hashlib.sha256(np.ascontiguousarray(frame.color).tobytes())
    if frame.depth_m is not None:
        digest.update(np.ascontiguousarray(frame.depth_m).tobytes())
    return digest.hexdigest()
