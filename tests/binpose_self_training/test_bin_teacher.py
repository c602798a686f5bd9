"""Views of one bin are taught together: what one view shows clearly is a label in the others."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import Pipeline
from binpose_refinement.refiner import IcpRefiner
from binpose_self_training.bin_teacher import VIEWS, BinTeacher
from binpose_self_training.selection.image_distance import EncoderFeatures
from binpose_self_training.selection.selector import SelectionConfig, select_labels

from ..truth_stages import TruthEstimator, TruthSegmenter
from .gate.test_other_views import turned_about

CONFIG = SelectionConfig(score=0.3)


@pytest.fixture
def turned(scenes: list[Any], objects: tuple[ObjectModel, ...]) -> tuple[Any, FloatArray]:
    """The first scene in another camera, in which only the first two parts are detected; T_world_cam."""
    scene, T_world_cam = scenes[0], turned_about(0.3)
    ids = np.array([[part.id for part in objects].index(name) for name in scene.object_ids])
    T = inverse(T_world_cam) @ scene.T_cam_obj
    drawn = Renderer([part.mesh for part in objects]).scene(ids, T, scene.frame.camera)
    depth = np.where(drawn.instance_ids >= 0, drawn.depth_m, np.float32(0.5)).astype(np.float32)
    color = np.where(drawn.instance_ids[..., None] >= 0, 180, 90).astype(np.uint8).repeat(3, -1)
    frame = RgbdFrame(color, depth, scene.frame.camera)
    return replace(
        scene, frame=frame, object_ids=scene.object_ids[:2], T_cam_obj=T[:2], instance_ids=drawn.instance_ids
    ), T_world_cam


@pytest.fixture
def teacher(scenes: list[Any], turned: tuple[Any, FloatArray], parts: Any, networks: PipelineBundle) -> BinTeacher:
    segmenter = TruthSegmenter([scenes[0], turned[0]])
    pipeline = Pipeline(segmenter, TruthEstimator(segmenter), IcpRefiner(parts))
    config = replace(CONFIG, test_time_views=0)
    return BinTeacher(PipelineBundle(pipeline, parts), config, EncoderFeatures(networks.estimator))  # type: ignore[arg-type]


def labels(taught: list[Any]) -> list[int]:
    selection = select_labels([frame.evidence for frame in taught], CONFIG)
    return [sum(selection.accepted(n)) for n in range(len(taught))]


def test_a_part_that_only_one_view_finds_is_a_label_in_the_other(
    teacher: BinTeacher, scenes: list[Any], turned: tuple[Any, FloatArray]
) -> None:
    other, T_world_cam = turned
    frames = [scenes[0].frame, other.frame]
    alone = [*teacher(frames[:1], [None]), *teacher(frames[1:], [None])]
    assert labels(alone) == [3, 2]
    together = teacher(frames, [np.eye(4), T_world_cam])
    assert labels(together) == [3, 3]
    assert [len(frame.alone) for frame in together] == [3, 2]
    true = inverse(T_world_cam) @ scenes[0].T_cam_obj
    for found, T in zip((together[0].poses, together[1].poses), (scenes[0].T_cam_obj, true), strict=True):
        centers = np.array([pose.T_cam_obj[:3, 3] for pose in found])
        nearest = np.linalg.norm(centers[:, None] - T[None, :, :3, 3], axis=-1)
        assert nearest.min(0).max() < 0.002
    owners = [pose.detection_index for pose in together[1].poses]
    assert sorted(index for index in owners if index is not None) == [0, 1]


def test_views_of_another_bin_are_used_alone(
    teacher: BinTeacher, scenes: list[Any], turned: tuple[Any, FloatArray]
) -> None:
    """Camera poses that do not fit make no labels that the views alone do not give."""
    frames = [scenes[0].frame, turned[0].frame]
    wrong = turned_about(-0.6)
    assert labels(teacher(frames, [np.eye(4), wrong])) == [3, 2]


def test_turned_copies_of_one_view_certify_the_pose_in_all(
    teacher: BinTeacher, scenes: list[Any], turned: tuple[Any, FloatArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second view alone does not find the third part, so its turned copy cannot either."""
    monkeypatch.setattr(teacher, "_turned", VIEWS[:1])
    found_again = {True: np.ones(3), False: np.array([1.0, 0.0])}
    monkeypatch.setattr(
        teacher._repetition, "returned", lambda frame, poses, *rest: found_again[frame is scenes[0].frame]
    )
    together = teacher([scenes[0].frame, turned[0].frame], [np.eye(4), turned[1]])
    assert [sorted(entry.returned for entry in frame.evidence) for frame in together] == [[1, 1, 1], [1, 1, 1]]
