"""All settings of the gate."""

from dataclasses import dataclass, field

from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.filters import PoseFilter
from binpose_self_training.gate.anchors import AnchorConfig
from binpose_self_training.gate.betting import BettingConfig
from binpose_self_training.gate.evidence import EvidenceConfig
from binpose_self_training.gate.judge import JudgeConfig
from binpose_self_training.gate.latency import LatencyConfig


@dataclass(frozen=True)
class GateConfig:
    """When a candidate replaces the champion.

    chosen: which poses are reported.
    seed: of the order in which the frames are compared.
    most_frames: frames that are compared at most.
    early: stop when the evidence has decided.
    evidence: credit of a model on a frame.
    judge: when a pose is verified.
    betting: error rate of the evidence.
    anchors: what no part may lose.
    latency: how much slower a candidate may be.
    """

    chosen: PoseFilter = field(default_factory=PoseFilter)
    seed: int = setting(0, bounds=(0, 2**31 - 1))
    most_frames: int = setting(1000, bounds=(1, 10**6))
    early: bool = True
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    betting: BettingConfig = field(default_factory=BettingConfig)
    anchors: AnchorConfig = field(default_factory=AnchorConfig)
    latency: LatencyConfig = field(default_factory=LatencyConfig)

    def __post_init__(self) -> None:
        check_bounds(self)
