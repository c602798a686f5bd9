"""The pipeline calls its stages in order, on one frame at a time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.filters import DetectionFilter
from binpose_core.frames.prepared_frame import PreparedFrame
from binpose_core.frames.region import Region
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import Pipeline


def test_poses_are_those_of_the_last_stage(bundle: PipelineBundle, scenes: Sequence) -> None:
    poses = bundle.pipeline(scenes[0].frame)
    assert [pose.object_id for pose in poses] == list(scenes[0].object_ids)
    np.testing.assert_allclose([pose.T_cam_obj for pose in poses], scenes[0].T_cam_obj)


def test_each_stage_gets_what_the_former_gave() -> None:
    frame, seen = object(), []

    def stage(name: str, result: object):
        def call(*arguments: object) -> object:
            seen.append((name, arguments))
            return result

        return call

    detections = [Detection.from_mask("cog", 0.9, np.ones((2, 2), bool))]
    pipeline = Pipeline(stage("segment", detections), stage("estimate", "poses"), stage("refine", "refined"))
    assert pipeline(frame) == "refined"  # type: ignore[arg-type]
    (_, (given,)), *others = seen
    assert isinstance(given, PreparedFrame) and given.frame is frame
    assert others == [("estimate", (given, detections)), ("refine", (frame, detections, "poses"))]


def test_only_chosen_detections_are_followed_up(bundle: PipelineBundle, scenes: Sequence) -> None:
    frame = scenes[0].frame
    found = bundle.segmenter(frame)
    u, v = found[0].center_px
    around = Region.from_text(f"{u - 2},{v - 2} {u + 2},{v - 2} {u + 2},{v + 2} {u - 2},{v + 2}")
    result = replace(bundle.pipeline, chosen=DetectionFilter(region=around)).timed(frame)
    inside = [d.center_px for d in result.proposals.detections]
    assert inside == [d.center_px for d in found if np.abs(np.subtract(d.center_px, (u, v))).max() <= 2]
    assert 0 < len(inside) < len(found) == len(result.proposals.found)
    assert len(result.proposals.estimates) == len(result.poses) == len(inside)


def test_timing_changes_no_result_and_names_every_stage(bundle: PipelineBundle, scenes: Sequence) -> None:
    reported = {}
    result = bundle.pipeline.timed(scenes[1].frame, report=reported.__setitem__)
    plain = bundle.pipeline(scenes[1].frame)
    assert list(result.seconds) == ["detection", "pose", "refinement"]
    assert all(value >= 0 for value in result.seconds.values()) and reported == result.seconds
    assert result.detections is result.proposals.detections
    assert [pose.detection_index for pose in result.poses] == list(range(len(result.detections)))
    for timed, untimed in zip(result.poses, plain, strict=True):
        np.testing.assert_array_equal(timed.T_cam_obj, untimed.T_cam_obj)


def test_a_stage_that_refuses_a_frame_stops_the_pipeline(bundle: PipelineBundle, scenes: Sequence) -> None:
    frame = scenes[0].frame
    with pytest.raises(BinposeError, match="no depth"):
        bundle.pipeline(RgbdFrame(frame.color, None, frame.camera))
