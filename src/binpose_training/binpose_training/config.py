"""What a training is: a list of stages, each with its own budget and settings."""

from dataclasses import dataclass, field, replace
from typing import get_args

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.validation_curve import ValidationConfig
from binpose_core.stages import Segmenter
from binpose_detection.backends import Backend
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig
from binpose_detection.segmenter import VoteSegmenter
from binpose_detection.training import SegmentationTrainingConfig
from binpose_estimator.distillation_config import DistillationConfig
from binpose_estimator.presets import find_preset
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_refinement.config import RefinerConfig
from binpose_refinement.network_training import RefinementTraining
from binpose_simulation.scene import SceneConfig

START_RATE = 0.6
"""Of the learning rate, where a training starts from a model: higher ones unlearn what it brings."""
KNOWN_RATE = 0.17
"""The same for the pose network of a model that knows all parts. With START_RATE, recall before refinement fell from
63 % to 35 % in the first tenth of a training; with KNOWN_RATE it rose."""
MAX_SEED = 2**31
FEWEST_CALIBRATION_VIEWS = 120
REQUIRED = ("simulation", "calibration")
"""Stages that no training leaves out. Without another one, the model to start from gives its network."""


@dataclass(frozen=True)
class StageJob:
    """The budget of a stage.

    fraction: of the training's minutes, relative to the fractions of the other stages; 0 leaves the stage out.
    minutes: a budget of its own instead; the other stages divide the rest.
    """

    fraction: float = 0.0
    minutes: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < float("inf"):
            raise BinposeError(f"{type(self).__name__}.fraction is {self.fraction}; expected 0 or more.")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise BinposeError(f"{type(self).__name__}.minutes is {self.minutes}; expected more than 0, or null.")

    @property
    def enabled(self) -> bool:
        """Whether the stage runs."""
        return self.fraction > 0 or self.minutes is not None


@dataclass(frozen=True)
class SimulationJob(StageJob):
    """Bins are simulated for the networks to learn from.

    scene: what is simulated; views are as fine as the parts need.
    views: how many are simulated, instead of as many as there is time for.
    """

    fraction: float = 0.1
    scene: SceneConfig = field(default_factory=SceneConfig)
    views: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views is not None and self.views < 1:
            raise BinposeError(f"SimulationJob.views is {self.views}; expected at least 1, or null.")


@dataclass(frozen=True)
class DetectorJob(StageJob):
    """The network that finds the instances is trained.

    backend: which network, votes or mask_rcnn.
    training: how it is trained.
    validation: on which unseen views, and when the training ends before its budget.
    """

    fraction: float = 0.46
    backend: Backend = "votes"
    training: SegmentationTrainingConfig = field(default_factory=SegmentationTrainingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend not in get_args(Backend):
            raise BinposeError(f"The detector {self.backend!r}; expected {' or '.join(get_args(Backend))}.")
        if (self.backend == "mask_rcnn") is not isinstance(self.training, MaskRcnnTrainingConfig):
            raise BinposeError(
                f"The detector {self.backend!r} with {type(self.training).__name__}; expected its own settings; take "
                "DetectorJob.of."
            )

    @classmethod
    def of(cls, backend: str) -> "DetectorJob":
        """The training of a detector with its defaults."""
        if backend == "mask_rcnn":
            return cls(backend="mask_rcnn", training=MaskRcnnTrainingConfig())
        return cls(backend=backend)  # type: ignore[arg-type]  # refused if it is none


@dataclass(frozen=True)
class PoseJob(StageJob):
    """The pose network is trained, on true masks and on what the detector finds.

    training: how it is trained.
    preset: name of the kind of pose network.
    distillation: from which models it learns too.
    validation: on which unseen views, and when the training ends before its budget.
    """

    fraction: float = 0.34
    training: PoseTrainingConfig = field(default_factory=PoseTrainingConfig)
    preset: str = "default"
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        find_preset(self.preset)


@dataclass(frozen=True)
class RefinementJob(StageJob):
    """A refinement network is trained, only where this stage has a budget.

    training: how it is trained.
    """

    training: RefinementTraining = field(default_factory=RefinementTraining)


@dataclass(frozen=True)
class CalibrationJob(StageJob):
    """The scores are fitted and the model is measured, on bins that no network has seen.

    views: bins for the fit at most; 0 = four per minute of the training, at least 120. Twice as many make the
        probabilities a tenth better.
    evaluation_views: others for the reported metrics at most.
    refiner: settings of the model's refinement.
    """

    fraction: float = 0.1
    views: int = 0
    evaluation_views: int = 40
    refiner: RefinerConfig = field(default_factory=RefinerConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views < 0 or self.evaluation_views < 1:
            raise BinposeError(
                f"Calibration from {self.views} views and evaluation on {self.evaluation_views}; expected 0 or more, "
                "and at least 1."
            )


@dataclass(frozen=True)
class TrainConfig:
    """A whole training; the machine's speed decides how much is simulated and learnt, unless views are given.

    minutes: wall-clock budget of all stages.
    views: budget in simulated views instead, in proportion to which the networks learn: a busy machine takes longer and
        learns as much. Steps or samples of a stage's loop win over it.
    seed: of everything random.
    workers: processes that simulate.
    only_new_rows: whether a training that starts from a model changes only the weights of parts that are new to it.
    simulation, detector, pose, refinement, calibration: the stages, in their order.
    """

    minutes: float = 28.0
    views: int | None = None
    seed: int = 0
    workers: int = field(default_factory=available_cpus)
    only_new_rows: bool = False
    simulation: SimulationJob = field(default_factory=SimulationJob)
    detector: DetectorJob = field(default_factory=DetectorJob)
    pose: PoseJob = field(default_factory=PoseJob)
    refinement: RefinementJob = field(default_factory=RefinementJob)
    calibration: CalibrationJob = field(default_factory=CalibrationJob)

    def __post_init__(self) -> None:
        if not 0 < self.minutes < float("inf"):
            raise BinposeError(
                f"Training for {self.minutes} minutes; expected more than 0; 28 is enough for three parts."
            )
        if self.views is not None and self.views < 1:
            raise BinposeError(f"Training on {self.views} views; expected at least 1; leave it out to train by time.")
        if not 0 <= self.seed < MAX_SEED:
            raise BinposeError(f"The seed is {self.seed}; expected 0 to {MAX_SEED - 1}; choose another.")
        if self.workers < 1:
            raise BinposeError(f"Training with {self.workers} workers; expected at least 1.")
        if missing := [name for name in REQUIRED if name not in self.stages]:
            raise BinposeError(f"The stage {missing[0]} has no budget; expected a fraction above 0, or minutes.")
        own = [job.minutes for job in self.stages.values() if job.minutes is not None]
        if sum(own) > self.minutes or (sum(own) == self.minutes and len(own) < len(self.stages)):
            raise BinposeError(
                f"Stages with {sum(own):g} minutes of their own in a training of {self.minutes:g}; expected less; "
                "raise minutes."
            )

    @property
    def stages(self) -> dict[str, StageJob]:
        """The jobs of the stages that run, by name, in their order."""
        jobs: dict[str, StageJob] = {
            "simulation": self.simulation,
            "detector": self.detector,
            "pose": self.pose,
            "refinement": self.refinement,
            "calibration": self.calibration,
        }
        return {name: job for name, job in jobs.items() if job.enabled}

    @property
    def simulated_views(self) -> int | None:
        """How many views are simulated; None: as many as there is time for."""
        return self.simulation.views or self.views

    @property
    def calibration_views(self) -> int:
        """How many views the scores are fitted on at most."""
        return self.calibration.views or max(FEWEST_CALIBRATION_VIEWS, round(4 * self.minutes))

    def with_refinement_network(self) -> "TrainConfig":
        """The same training with time for a refinement network."""
        return replace(
            self,
            detector=replace(self.detector, fraction=0.37),
            pose=replace(self.pose, fraction=0.28),
            refinement=replace(self.refinement, fraction=0.15),
        )


def fine_tuning(config: TrainConfig, segmenter: Segmenter, known: bool = False) -> TrainConfig:
    """The settings for a training that starts from a model.

    Args:
        config: as for a training from nothing.
        segmenter: of the model.
        known: whether the model knows all parts already.

    Raises:
        BinposeError: if its detector is another one, or Mask R-CNN, which starts from nothing.
    """
    pose_rate, rate = KNOWN_RATE if known else START_RATE, START_RATE
    if config.only_new_rows:  # nothing that is known can be unlearnt
        pose_rate = rate = 1.0
    pose = replace(config.pose, training=_slower(config.pose.training, pose_rate))
    if not config.detector.enabled:
        return replace(config, pose=pose)
    if config.detector.backend != "votes" or not isinstance(segmenter, VoteSegmenter):
        raise BinposeError(
            f"A training of the detector {config.detector.backend!r} that starts from a model with a "
            f"{type(segmenter).__name__}; expected the detector 'votes' in both; leave out --start-from or the "
            "other detector."
        )
    return replace(
        config,
        detector=replace(config.detector, training=_slower(config.detector.training, rate)),
        pose=pose,
    )


def _slower(training, rate: float):  # type: ignore[no-untyped-def]
    loop: LoopConfig = training.loop
    return replace(training, loop=replace(loop, learning_rate=rate * loop.learning_rate))
