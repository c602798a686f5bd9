"""Recorded picks survive their file; files that are none are refused in one sentence."""

import json

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.pick_outcomes import PickOutcome, read_outcomes, write_outcomes
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation


@pytest.fixture
def pick():
    pose = from_rotation_translation(exp_so3(np.array([0.1, -0.4, 1.2])), np.array([0.01, 0.02, 0.6]))
    return PickOutcome("gear", pose, True, {"width_m": 0.024, "end": "PLACED"})


def test_picks_are_read_as_they_were_written(tmp_path, pick):
    write_outcomes(tmp_path / "outcomes.json", {"000001_000000": [pick], "000001_000001": []})
    found = read_outcomes(tmp_path / "outcomes.json")
    assert list(found) == ["000001_000000", "000001_000001"] and found["000001_000001"] == []
    (again,) = found["000001_000000"]
    assert (again.object_id, again.succeeded, again.details) == (pick.object_id, True, pick.details)
    assert again.T_cam_obj == pytest.approx(pick.T_cam_obj, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.update(format="other"), "format"),
        (lambda data: data.update(frames=[]), "by frame"),
        (lambda data: data["frames"].update(a=3), "no list"),
        (lambda data: data["frames"]["a"].append(1), "pick 1 of a"),
        (lambda data: data["frames"]["a"][0].pop("succeeded"), "pick 0 of a"),
        (lambda data: data["frames"]["a"][0].update(succeeded="yes"), "pick 0 of a"),
        (lambda data: data["frames"]["a"][0].update(T_cam_obj=[[1.0]]), "T_cam_obj"),
    ],
)
def test_other_files_are_refused(tmp_path, pick, change, reason):
    path = tmp_path / "outcomes.json"
    write_outcomes(path, {"a": [pick]})
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(BinposeError, match=reason):
        read_outcomes(path)
