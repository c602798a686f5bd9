"""Later looks find what the first one missed, lose nothing, and keep to the time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.prepared_frame import AnyFrame, PreparedFrame
from binpose_core.frames.types import Detection
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import Pipeline
from binpose_pipeline.scene.second_look import Deadline, LookConfig, new_detections
from binpose_refinement.refiner import IcpRefiner


class ShortSighted:
    """Sees `count` parts at a time: those of the truth that are not erased."""

    def __init__(self, truth, count: int) -> None:
        self.truth, self.count, self.looks = truth, count, 0

    def __call__(self, frame: AnyFrame) -> list[Detection]:
        assert isinstance(frame, PreparedFrame)
        self.looks += 1
        depth = frame.view(0.001, 10**6).depth_m
        seen = []
        for detection in self.truth(frame):
            labels = detection.full_mask(frame.frame.camera.height, frame.frame.camera.width).astype(np.int32)
            pixels = frame.view(0.001, 10**6).labels(labels) > 0
            if (depth[pixels] > 0).mean() > 0.5:
                seen.append(detection)
        return seen[: self.count]


@pytest.fixture
def short_sighted(bundle: PipelineBundle) -> Pipeline:
    refiner = IcpRefiner(bundle.objects)
    return replace(bundle.pipeline, segmenter=ShortSighted(bundle.segmenter, 1), refiner=refiner)


def found(pipeline: Pipeline, frame) -> list[str]:
    return sorted(pose.object_id for pose in pipeline(frame) if pose.score >= 0.5)


def test_every_look_adds_what_the_earlier_ones_missed(short_sighted: Pipeline, scenes: Sequence) -> None:
    scene = scenes[0]
    for looks in (1, 2, len(scene.object_ids)):
        result = replace(short_sighted, look=LookConfig(looks=looks)).timed(scene.frame)
        good = [pose for pose in result.poses if pose.score >= 0.5]
        assert len(good) == looks == len(result.detections)
        assert sorted(pose.detection_index for pose in good) == list(range(looks))
        for pose in good:
            assert result.detections[pose.detection_index].object_id == pose.object_id


def test_looking_ends_when_nothing_is_added(short_sighted: Pipeline, scenes: Sequence) -> None:
    scene = scenes[0]
    replace(short_sighted, look=LookConfig(looks=20))(scene.frame)
    assert short_sighted.segmenter.looks == len(scene.object_ids) + 1


def test_more_looks_leave_less_unexplained(short_sighted: Pipeline, scenes: Sequence) -> None:
    values = [replace(short_sighted, look=LookConfig(looks=n)).timed(scenes[0].frame).unexplained for n in (1, 2, 3)]
    assert values == sorted(values, reverse=True)


def test_a_budget_too_small_for_two_looks_gives_the_first_one(short_sighted: Pipeline, scenes: Sequence) -> None:
    one = replace(short_sighted, look=LookConfig(looks=1))
    hurried = replace(short_sighted, look=LookConfig(looks=5, budget_ms=1e-3))
    assert found(hurried, scenes[0].frame) == found(one, scenes[0].frame) != []


def test_the_same_frame_gives_the_same_poses(short_sighted: Pipeline, scenes: Sequence) -> None:
    one, other = (short_sighted(scenes[0].frame) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.T_cam_obj, b.T_cam_obj)
        assert a.score == b.score


def test_a_deadline_lets_looks_begin_that_fit() -> None:
    now = [0.0]
    deadline = Deadline(LookConfig(looks=9, budget_ms=1000.0), lambda: now[0], lambda: 0.1)
    now[0] = 0.85
    assert deadline.another(1)
    now[0] = 0.95
    assert not deadline.another(2)
    unlimited = Deadline(LookConfig(looks=2), lambda: now[0], lambda: 1e9)
    assert unlimited.another(1) and not unlimited.another(2)


def test_only_detections_that_show_something_new_are_followed_up() -> None:
    def square(x: int, y: int, side: int = 10) -> Detection:
        mask = np.zeros((60, 60), bool)
        mask[y : y + side, x : x + side] = True
        return Detection.from_mask("cog", 0.9, mask)

    explained = np.zeros((60, 60), bool)
    explained[:30, :12] = True
    known, new = square(40, 40), square(20, 40)
    again = [square(40, 41), square(0, 0), square(0, 5), square(8, 40), new]
    kept = new_detections(again, [known], explained, LookConfig())
    assert [d.bbox_xyxy[:2] for d in kept] == [(8, 40), (20, 40)]


def test_nonsense_is_refused() -> None:
    with pytest.raises(BinposeError, match=r"LookConfig\.looks is 0; expected 1 to 20"):
        LookConfig(looks=0)
