import json

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_self_training.outcomes_file import read_outcomes

POSE = np.eye(4).tolist()
SCALED = (2 * np.eye(4)).tolist()


def written(folder, content):
    (folder / "outcomes.json").write_text(json.dumps(content))
    return folder


def test_picks_are_read_by_frame_and_further_entries_ignored(tmp_path):
    picks = [
        {"frame": "000007", "object_id": "gear", "T_cam_obj": POSE, "succeeded": True, "reason": "held"},
        {"frame": "000007", "object_id": "bolt", "T_cam_obj": POSE, "succeeded": False},
    ]
    found = read_outcomes(written(tmp_path, {"picks": picks}))
    assert [(pick.object_id, pick.succeeded) for pick in found["000007"]] == [("gear", True), ("bolt", False)]


def test_a_recording_without_outcomes_has_none(tmp_path):
    assert read_outcomes(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], r'has no list "picks"; expected one entry'),
        ({"picks": [{"frame": 7}]}, "pick 0: .*; expected frame and object_id as text"),
        ({"picks": [{"frame": "7", "object_id": "a", "succeeded": True, "T_cam_obj": [1, 2]}]}, "expected 16 finite"),
        ({"picks": [{"frame": "7", "object_id": "a", "succeeded": True, "T_cam_obj": SCALED}]}, "rigid"),
    ],
)  # fmt: skip
def test_damaged_outcomes_are_refused_in_one_sentence(tmp_path, content, sentence):
    with pytest.raises(BinposeError, match=sentence):
        read_outcomes(written(tmp_path, content))
