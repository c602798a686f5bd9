"""Losses without labels beside those of pseudo labels."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from binpose_core.frames.types import LabelledView
from binpose_core.learning.hooks import StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter, build_network
from binpose_estimator.self_supervision_config import SelfSupervisionConfig
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_estimator.weak_loss import WeakLossConfig
from binpose_pipeline.bundle import PipelineBundle
from binpose_self_training.config import StudentConfig
from binpose_self_training.student import frames_of, pose_objective, train_student


class KnownDetections(VoteSegmenter):
    """Detections of the first scene, whatever it is shown."""

    def __init__(self, names: tuple[str, ...], detections) -> None:
        config = SegmenterConfig(names)
        super().__init__(build_network(config), config)
        self._detections = detections

    def __call__(self, frame):
        return self._detections


@pytest.fixture
def views(known) -> list[LabelledView]:
    scene = known.scene
    return [LabelledView(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids, torch.ones(3).numpy())] * 2


CONFIG = StudentConfig(
    train_detector=False,
    pose=PoseTrainingConfig(LoopConfig(steps=2, low_precision=False), batch_size=4),
    self_supervision=SelfSupervisionConfig(True, batch_size=2),
    weak_loss=WeakLossConfig(True, batch_size=2, iterations=2),
)


def test_a_student_learns_from_crops_without_labels_where_it_is_switched_on(
    networks: PipelineBundle, known, views, tmp_path: Path
) -> None:
    teacher = networks.using(segmenter=KnownDetections(tuple(networks.objects), known.detections))
    seen: list[dict[str, float]] = []
    hooks = [StepReport(lambda fraction, losses: seen.append(losses))]
    train_student(teacher, views, CONFIG, 0, tmp_path, lambda stage: hooks)
    assert {"pose", "weak", "consistency", "masking", "rendered", "perceptual"} <= set(seen[0])


def test_the_losses_are_off_by_default(networks: PipelineBundle, known, views) -> None:
    segmenter = KnownDetections(tuple(networks.objects), known.detections)
    assert pose_objective(views, networks.estimator, segmenter, StudentConfig(), 0) is None
    one = replace(CONFIG, self_supervision=SelfSupervisionConfig())
    objective = pose_objective(views, networks.estimator, segmenter, one, 0)
    assert type(objective).__name__ == "WeakLossObjective"


def test_frames_of_views_are_read_on_access(views) -> None:
    frames = frames_of(views)
    assert len(frames) == 2 and frames[1] is views[1].frame and len(frames[:1]) == 1
