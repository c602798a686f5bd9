"""What a training is: its budget, how that is split, and the settings of the stages."""

from dataclasses import dataclass, field, replace
from typing import get_args

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus
from binpose_core.learning.training_loop import LoopConfig
from binpose_core.stages import Segmenter
from binpose_detection.backends import Backend
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig
from binpose_detection.segmenter import VoteSegmenter
from binpose_detection.training import SegmentationTrainingConfig
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_refinement.network_training import RefinementTraining
from binpose_simulation.scene import SceneConfig

START_RATE = 0.6
"""Of the learning rate, where a training starts from a model: higher ones unlearn what it brings."""
MAX_SEED = 2**31
FEWEST_CALIBRATION_VIEWS = 120


@dataclass(frozen=True)
class TrainConfig:
    """minutes: for everything, split by the shares; the machine's speed decides how much is simulated and learnt.

    calibration_views: bins that neither network has seen, from which the scores are calibrated; 0 = four per minute of
        the training, at least 120. Twice as many make the probabilities a tenth better.
    evaluation_views: others for the reported metrics.
    refinement_share: of a refinement network, which is trained only where this is not zero.
    detector: which network finds the instances; `segmentation` is the training of votes, `mask_rcnn` that of the other.
    """

    minutes: float = 28.0
    seed: int = 0
    workers: int = field(default_factory=available_cpus)
    simulation_share: float = 0.1
    segmentation_share: float = 0.46
    pose_share: float = 0.34
    refinement_share: float = 0.0
    calibration_views: int = 0
    evaluation_views: int = 40
    scene: SceneConfig = field(default_factory=SceneConfig)
    detector: Backend = "votes"
    segmentation: SegmentationTrainingConfig = field(default_factory=SegmentationTrainingConfig)
    mask_rcnn: MaskRcnnTrainingConfig = field(default_factory=MaskRcnnTrainingConfig)
    pose: PoseTrainingConfig = field(default_factory=PoseTrainingConfig)
    refinement: RefinementTraining = field(default_factory=RefinementTraining)

    def __post_init__(self) -> None:
        if not 0 < self.minutes < float("inf"):
            raise BinposeError(
                f"Training for {self.minutes} minutes; expected more than 0; 28 is enough for three parts."
            )
        if not 0 <= self.seed < MAX_SEED:
            raise BinposeError(f"The seed is {self.seed}; expected 0 to {MAX_SEED - 1}; choose another.")
        if self.workers < 1:
            raise BinposeError(f"Training with {self.workers} workers; expected at least 1.")
        if self.calibration_views < 0 or self.evaluation_views < 1:
            raise BinposeError(
                f"Calibration from {self.calibration_views} views and evaluation on {self.evaluation_views}; expected "
                "0 or more, and at least 1."
            )
        if self.detector not in get_args(Backend):
            raise BinposeError(f"The detector {self.detector!r}; expected {' or '.join(get_args(Backend))}.")
        if self.refinement_share < 0:
            raise BinposeError(f"The share of the refinement network is {self.refinement_share}; expected 0 or more.")
        if self.simulation_share + self.segmentation_share + self.pose_share + self.refinement_share >= 1:
            raise BinposeError(
                "The shares of simulation, segmentation, pose and refinement must leave time for the calibration."
            )

    @property
    def bins_for_calibration(self) -> int:
        """How many views the scores are calibrated from."""
        return self.calibration_views or max(FEWEST_CALIBRATION_VIEWS, round(4 * self.minutes))

    def with_refinement_network(self) -> "TrainConfig":
        """The same training that spares time for a refinement network."""
        return replace(self, segmentation_share=0.37, pose_share=0.28, refinement_share=0.15)


def fine_tuning(config: TrainConfig, segmenter: Segmenter) -> TrainConfig:
    """The settings for going on from a model.

    Raises:
        BinposeError: if its detector is another one, or Mask R-CNN, which starts from nothing.
    """
    if config.detector != "votes" or not isinstance(segmenter, VoteSegmenter):
        raise BinposeError(
            f"A training of the detector {config.detector!r} that starts from a model with a "
            f"{type(segmenter).__name__}; expected the detector 'votes' in both; leave out --start-from or the "
            "other detector."
        )

    def slower(loop: LoopConfig) -> LoopConfig:
        return replace(loop, learning_rate=START_RATE * loop.learning_rate)

    segmentation = replace(config.segmentation, loop=slower(config.segmentation.loop))
    return replace(config, segmentation=segmentation, pose=replace(config.pose, loop=slower(config.pose.loop)))
