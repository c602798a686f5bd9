"""Outcomes of picks: what is read from the bytes is what was written, by the fields' definitions."""

from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Grasp, Hypothesis
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_ros.grasp_messages import grasp_array
from binpose_ros.pick_messages import pick_message, read_pick
from binpose_ros.stamps import Header


def motion(rng: np.random.Generator) -> np.ndarray:
    return from_rotation_translation(random_rotation(rng), rng.normal(size=3))


def written(
    rng: np.random.Generator, header: Header, types: Any, width_m: float, joints: int, name: str = "cog"
) -> tuple[Grasp, bytes]:
    path = rng.normal(size=(1, joints)) if joints else None
    pose = Hypothesis(name, motion(rng), 0.75)
    grasp = Grasp(name, motion(rng), 0.02, 0.9, motion(rng), motion(rng), 7, joints=path, pose=pose)
    array = grasp_array(header, [grasp], "abcdef012345", np.eye(4), types)
    return grasp, types.serialized(pick_message(array, array.grasps[0], width_m, True, "PLACED", types))


@pytest.mark.parametrize("joints", [0, 6, 7])
@pytest.mark.parametrize("name", ["", "c", "co", "cog", "gear", "wheel", "rotor_12"])
def test_the_bytes_hold_the_outcome(
    rng: np.random.Generator, header: Header, types: Any, joints: int, name: str
) -> None:
    """Names and joints of any length: the numbers behind them are aligned by CDR's rule."""
    grasp, data = written(rng, header, types, 0.0193, joints, name)
    found_header, outcome = read_pick(data)
    assert found_header == header and grasp.pose is not None
    assert (outcome.object_id, outcome.succeeded) == (name, True)
    np.testing.assert_allclose(outcome.T_cam_obj, grasp.pose.T_cam_obj, atol=1e-9)
    details = dict(outcome.details)
    np.testing.assert_allclose(details.pop("T_cam_hand"), grasp.T_cam_hand, atol=1e-9)
    expected = {"pose_score": 0.75, "grasp_score": 0.9, "planned_width_m": 0.02, "width_m": 0.0193, "end": "PLACED"}
    assert details == expected


def test_a_width_that_is_not_known_is_left_out(rng: np.random.Generator, header: Header, types: Any) -> None:
    _, data = written(rng, header, types, float("nan"), 0)
    assert "width_m" not in read_pick(data)[1].details


def test_cut_bytes_are_refused(rng: np.random.Generator, header: Header, types: Any) -> None:
    _, data = written(rng, header, types, 0.02, 7)
    for length in range(0, len(data) - 4, 7):
        with pytest.raises(BinposeError):
            read_pick(data[:length])


def test_the_ends_of_the_message_are_those_of_the_simulation(types: Any) -> None:
    from binpose_cell.figures import WRONG_PART
    from binpose_cell.pick_motion import PickEnd

    known = {name: getattr(types.PickOutcome, name) for name in dir(types.PickOutcome) if name.isupper()}
    assert known == {name: name for name in (*(end.name for end in PickEnd), WRONG_PART)}
