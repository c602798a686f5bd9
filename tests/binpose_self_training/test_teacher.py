"""The teacher around a pipeline that knows the truth."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_self_training.recorded_frames import FrameInfo, RecordedFrames
from binpose_self_training.selection.image_distance import EncoderFeatures
from binpose_self_training.selection.selector import SelectionConfig
from binpose_self_training.teacher import Teacher


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
