"""What a self-training is: which frames, how pseudo labels are selected, how a student learns, when it ends."""

from dataclasses import dataclass, field

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, NOT_NEGATIVE, check_bounds, setting
from binpose_core.learning.loop_config import LoopConfig
from binpose_detection.training import SegmentationTrainingConfig
from binpose_estimator.self_supervision_config import SelfSupervisionConfig
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_estimator.weak_loss import WeakLossConfig
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.selection.selector import SelectionConfig

RATE = 0.1
"""Learning rate of a student relative to that of a training from simulation (paper 002, section 4)."""
DETECTOR_RATE, POSE_RATE = 2e-3 * RATE, 8e-4 * RATE
AVERAGE_STEPS = 60
"""Time constant of the averaged weights; a student takes a few hundred steps."""


@dataclass(frozen=True)
class FramesConfig:
    """Which recorded frames are used.

    frames: largest number that the student learns from, spread over the recordings.
    held_out: fraction of each recording, at its end, that no student learns from; the gate compares models there.
    most_held_out: largest number of such frames.
    """

    frames: int = setting(150, bounds=(1, 1_000_000))
    held_out: float = setting(0.2, bounds=FRACTION)
    most_held_out: int = setting(60, bounds=(0, 1_000_000))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class ReplayConfig:
    """What a student learns beside the new frames, against forgetting.

    simulated: views of simulated bins.
    recorded: labelled views of earlier self-trainings that the model's folder keeps at most.
    share: fraction of the views of a round that are replayed; new frames are repeated to reach it.
    """

    simulated: int = setting(480, bounds=(0, 1_000_000))
    recorded: int = setting(100, bounds=(0, 1_000_000))
    share: float = setting(0.5, bounds=(0.0, 0.95))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class StudentConfig:
    """How a student learns; budgets are samples, so that a busy machine changes nothing but the time.

    train_detector, train_pose: which networks learn.
    detector: training of the network that finds the instances.
    pose: training of the pose network.
    self_supervision: losses of consistency on crops of detections, without labels; off by default.
    weak_loss: a loss of depth on the same kind of crops; off by default.
    """

    train_detector: bool = True
    train_pose: bool = True
    detector: SegmentationTrainingConfig = field(
        default_factory=lambda: SegmentationTrainingConfig(
            LoopConfig(samples=10_000, learning_rate=DETECTOR_RATE, average_steps=AVERAGE_STEPS)
        )
    )
    pose: PoseTrainingConfig = field(
        default_factory=lambda: PoseTrainingConfig(
            LoopConfig(samples=24_000, learning_rate=POSE_RATE, average_steps=AVERAGE_STEPS)
        )
    )
    self_supervision: SelfSupervisionConfig = field(default_factory=SelfSupervisionConfig)
    weak_loss: WeakLossConfig = field(default_factory=WeakLossConfig)

    def __post_init__(self) -> None:
        if not (self.train_detector or self.train_pose):
            raise BinposeError(
                "A student with train_detector and train_pose off learns nothing; expected one of them; switch one on."
            )


@dataclass(frozen=True)
class SelfTrainingConfig:
    """A whole self-training.

    rounds: largest number of rounds; 5 in paper 002.
    least_growth: the rounds end when a teacher gives at most this fraction more pseudo labels than the one before.
    fewest_labels: pseudo labels without which no student is trained.
    background: whether the floor of the bin, away from all detections, teaches the detector what is no part.
    balanced: whether labels from frequent viewing directions weigh less.
    seed: of everything random.
    anchors: simulated views of the frozen set on which no part may lose, for each part of the model.
    frames, selection, replay, student, gate: the steps, each with its settings.
    """

    rounds: int = setting(5, bounds=(1, 100))
    least_growth: float = setting(0.01, bounds=NOT_NEGATIVE)
    fewest_labels: int = setting(20, bounds=(1, 1_000_000))
    background: bool = True
    balanced: bool = True
    anchors: int = setting(12, bounds=(0, 10_000))
    seed: int = setting(0, bounds=(0, 2**31 - 1))
    frames: FramesConfig = field(default_factory=FramesConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        check_bounds(self)
