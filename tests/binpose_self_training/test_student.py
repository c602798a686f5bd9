"""A student that a worker trains is the one that this process trains."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.process_workers import ProcessWorkers
from binpose_core.base.workers import ThisProcess
from binpose_core.frames.types import LabelledView
from binpose_core.learning.loop_config import LoopConfig
from binpose_detection.training import SegmentationTrainingConfig
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_pipeline.bundle import PipelineBundle, bundle_to_tensors
from binpose_self_training.config import StudentConfig
from binpose_self_training.student import StudentByWorker, joined_views, train_student

CONFIG = StudentConfig(
    detector=SegmentationTrainingConfig(LoopConfig(samples=4), views=2),
    pose=PoseTrainingConfig(LoopConfig(samples=8), batch_size=8),
)


def weights(bundle: PipelineBundle) -> dict[str, np.ndarray]:
    return bundle_to_tensors(bundle)[0]


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name].astype(float) - other[name].astype(float)).max(initial=0.0)) for name in one)


def test_a_worker_trains_the_same_student(networks: PipelineBundle, scenes: Sequence[Any], tmp_path: Path) -> None:
    views = [
        LabelledView(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids.astype(np.int16), np.ones(3))
        for scene in scenes
    ]
    mixed = joined_views(views, views[:1])
    before = {name: value.copy() for name, value in weights(networks).items()}
    expected = weights(train_student(networks, mixed, CONFIG, 3, tmp_path))
    student = StudentByWorker(ProcessWorkers(1))(networks, mixed, CONFIG, 3, tmp_path / "unused")
    # float32 sums of convolutions differ in their last bits between processes
    assert largest_difference(weights(student), expected) < 0.02 * largest_difference(expected, before)
    assert largest_difference(weights(networks), before) == 0.0
    assert student.version == networks.version and not (tmp_path / "unused").exists()


def test_each_view_travels_once(networks: PipelineBundle, scenes: Sequence[Any], tmp_path: Path) -> None:
    read: list[int] = []

    class Counting(ThisProcess):
        def reference(self, read_view: Any) -> Any:
            read.append(1)
            return read_view

        def map(self, job: Any, groups: Any, ahead: int = 1) -> Any:
            ((reads,),) = groups
            assert [reads[n]() for n in range(len(reads))] == [1, 2, 1, 2, 5]
            return (result for result in [networks])

    views = [1, 2]
    StudentByWorker(Counting())(networks, joined_views(views, views, [5]), CONFIG, 3, tmp_path)  # type: ignore[list-item]
    assert len(read) == 3
