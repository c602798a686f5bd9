"""A training is a list of stages; what cannot work is refused when it is built."""

from dataclasses import replace

import pytest

from binpose_core.base.errors import BinposeError
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter, build_network
from binpose_detection.training import SegmentationTrainingConfig
from binpose_training.config import (
    CalibrationJob,
    DetectorJob,
    PoseJob,
    RefinementJob,
    SimulationJob,
    TrainConfig,
    fine_tuning,
)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: TrainConfig(seed=-1),
        lambda: TrainConfig(seed=2**31),
        lambda: TrainConfig(minutes=float("nan")),
        lambda: TrainConfig(minutes=0.0),
        lambda: TrainConfig(workers=0),
        lambda: TrainConfig(pose=PoseJob(minutes=29.0)),
        lambda: TrainConfig(minutes=10, pose=PoseJob(minutes=10.0)),
        lambda: TrainConfig(calibration=CalibrationJob(fraction=0.0)),
        lambda: TrainConfig(simulation=SimulationJob(fraction=0.0)),
        lambda: PoseJob(fraction=-0.1),
        lambda: PoseJob(minutes=0.0),
        lambda: CalibrationJob(views=-1),
        lambda: CalibrationJob(evaluation_views=0),
        lambda: DetectorJob(backend="yolo"),  # type: ignore[arg-type]
        lambda: DetectorJob.of("yolo"),
        lambda: DetectorJob(backend="mask_rcnn", training=SegmentationTrainingConfig()),
        lambda: DetectorJob(training=MaskRcnnTrainingConfig()),
    ],
)
def test_a_training_that_cannot_work_is_refused(wrong) -> None:
    with pytest.raises(BinposeError):
        wrong()


def test_stages_are_listed_in_their_order_and_without_those_that_have_no_budget() -> None:
    assert list(TrainConfig().stages) == ["simulation", "detector", "pose", "calibration"]
    assert list(TrainConfig().with_refinement_network().stages) == [
        "simulation", "detector", "pose", "refinement", "calibration",
    ]  # fmt: skip
    assert "refinement" in TrainConfig(refinement=RefinementJob(minutes=1.0)).stages


@pytest.mark.parametrize("config", [TrainConfig(), TrainConfig().with_refinement_network()])
def test_the_default_fractions_divide_the_whole(config: TrainConfig) -> None:
    assert sum(job.fraction for job in config.stages.values()) == pytest.approx(1.0)


def test_longer_trainings_calibrate_on_more_bins() -> None:
    assert TrainConfig(minutes=5).calibration_views == TrainConfig(minutes=28).calibration_views == 120
    longer = TrainConfig(minutes=100)
    assert longer.calibration_views == 400
    assert replace(longer, calibration=CalibrationJob(views=7)).calibration_views == 7


def test_a_pose_network_that_knows_all_parts_learns_slower_than_one_that_gets_new_ones() -> None:
    segmenter = VoteSegmenter(build_network(SegmenterConfig(("a",))), SegmenterConfig(("a",)))
    config = TrainConfig()
    new, known = (fine_tuning(config, segmenter, known=known) for known in (False, True))
    full = config.pose.training.loop.learning_rate
    assert known.pose.training.loop.learning_rate < new.pose.training.loop.learning_rate < full
    assert known.detector == new.detector
