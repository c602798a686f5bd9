"""The pipeline calls its stages in order, on one frame at a time."""

from collections.abc import Sequence

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.region import Region
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import Pipeline, Stopwatch, Within


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

    pipeline = Pipeline(stage("segment", "detections"), stage("estimate", "poses"), stage("refine", "refined"))
    assert pipeline(frame) == "refined"  # type: ignore[arg-type]
    assert seen == [
        ("segment", (frame,)),
        ("estimate", (frame, "detections")),
        ("refine", (frame, "detections", "poses")),
    ]


def test_nothing_is_found_outside_a_region(bundle: PipelineBundle, scenes: Sequence) -> None:
    frame = scenes[0].frame
    found = bundle.segmenter(frame)
    u, v = found[0].center_px
    around = Region.from_text(f"{u - 2},{v - 2} {u + 2},{v - 2} {u + 2},{v + 2} {u - 2},{v + 2}")
    assert around is not None and len(found) > 1
    inside = [d.center_px for d in Within(bundle.segmenter, around)(frame)]
    assert inside == [d.center_px for d in found if np.abs(np.subtract(d.center_px, (u, v))).max() <= 2]
    assert 0 < len(inside) < len(found)


def test_timing_changes_no_result_and_names_every_stage(bundle: PipelineBundle, scenes: Sequence) -> None:
    poses, seconds, detections = bundle.pipeline.timed(scenes[1].frame)
    plain = bundle.pipeline(scenes[1].frame)
    assert list(seconds) == ["detection", "pose", "refinement"]
    assert all(value >= 0 for value in seconds.values())
    assert [pose.detection for pose in poses] == detections
    for timed, untimed in zip(poses, plain, strict=True):
        np.testing.assert_array_equal(timed.T_cam_obj, untimed.T_cam_obj)


def test_a_stage_that_refuses_a_frame_stops_the_pipeline(bundle: PipelineBundle, scenes: Sequence) -> None:
    frame = scenes[0].frame
    with pytest.raises(BinposeError, match="no depth"):
        bundle.pipeline(RgbdFrame(frame.color, None, frame.camera))


def test_stopwatch_adds_up_calls_of_a_name_also_failed_ones() -> None:
    watch = Stopwatch()
    watch.around("a", lambda: None)()
    first = watch.seconds["a"]
    with pytest.raises(ZeroDivisionError):
        watch.around("a", lambda: 1 / 0)()
    assert watch.seconds["a"] > first
