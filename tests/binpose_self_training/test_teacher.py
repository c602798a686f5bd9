"""The teacher around a pipeline that knows the truth."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.process_workers import ProcessWorkers
from binpose_core.base.ray_workers import ray_workers
from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.frames.types import UNKNOWN, LabelledView
from binpose_self_training.recorded_frames import FrameInfo, RecordedFrames
from binpose_self_training.selection.image_distance import EncoderFeatures
from binpose_self_training.selection.selector import SelectionConfig
from binpose_self_training.teacher import Teacher
from binpose_simulation.view_store import ViewStore


class Views(list):
    """A store of labelled views in memory."""


def recorded(scenes, outcomes=None):
    class View:
        def __init__(self, scene):
            self.frame = scene.frame

    infos = [FrameInfo("bag", f"f{n}", f"bin{n}", None) for n in range(len(scenes))]
    return RecordedFrames(Views(map(View, scenes)), infos, (), outcomes or {})  # type: ignore[arg-type]


def test_right_poses_have_small_distances_and_picks_mark_what_was_held(bundle, networks, scenes):
    teacher = Teacher(bundle, SelectionConfig(test_time_views=0), EncoderFeatures(networks.estimator))
    held, failed = scenes[0].T_cam_obj[0], moved_pose(scenes[0].T_cam_obj[1])
    picks = {"bag": {"f0": [PickOutcome("step", held, True), PickOutcome("rod", failed, False)]}}
    taught = teacher(recorded(scenes, picks))
    assert len(taught) == 3
    for frame in taught:
        assert all(entry.d_mask < 0.02 and entry.d_g < 0.02 for entry in frame.evidence)
        assert all(np.isnan(entry.returned) for entry in frame.evidence)
    marks = [entry.held for entry in taught[0].evidence]
    assert marks.count(1.0) == 1 and sum(np.isnan(marks)) == 2  # no pose is that of the failed pick
    assert all(np.isnan(entry.held) for entry in taught[1].evidence)


def moved_pose(T):
    other = T.copy()
    other[:3, 3] += 0.05
    return other


def test_a_model_without_a_pose_network_needs_features(bundle):
    with pytest.raises(BinposeError, match="has no backbone to compare images with"):
        Teacher(bundle, SelectionConfig())


def test_workers_see_what_this_process_sees(networks, scenes, tmp_path):
    """Bit for bit among workers: one process, two, and a Ray cluster where Ray is installed.

    This process may have more threads than a worker, so that its sums differ in their last bits.
    """
    store = ViewStore(tmp_path)
    for scene in scenes:
        ids = np.full(scene.frame.depth_m.shape, UNKNOWN, np.int16)
        store.append(LabelledView(scene.frame, (), np.zeros((0, 4, 4)), ids, np.zeros(0)))
    frames = RecordedFrames(store, [FrameInfo("bag", f"f{n}", f"bin{n}", None) for n in range(len(scenes))])
    config = SelectionConfig(test_time_views=1)
    expected = Teacher(networks, config, workers=ProcessWorkers(1))(frames)
    assert sum(len(frame.poses) for frame in expected)
    assert_same(Teacher(networks, config, workers=ProcessWorkers(2))(frames), expected)
    for own, other in zip(Teacher(networks, config)(frames), expected, strict=True):
        assert [p.object_id for p in own.poses] == [p.object_id for p in other.poses]
        scores, others = ([p.score for p in taught.poses] for taught in (own, other))
        np.testing.assert_allclose(scores, others, atol=1e-6)
    pytest.importorskip("ray", reason="Ray is not installed: `pip install 'binpose[ray]'`")
    with ray_workers("local", 2) as workers:
        assert_same(Teacher(networks, config, workers=workers)(frames), expected)


def assert_same(taught, expected):
    assert len(taught) == len(expected)
    for own, other in zip(taught, expected, strict=True):
        assert [p.object_id for p in own.poses] == [p.object_id for p in other.poses]
        assert [p.T_cam_obj.tobytes() for p in own.poses] == [p.T_cam_obj.tobytes() for p in other.poses]
        assert str([e.to_json() for e in own.evidence]) == str([e.to_json() for e in other.evidence])
        assert str(own.unexplained) == str(other.unexplained)
