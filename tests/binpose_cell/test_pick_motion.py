"""A try ends as the physics says."""

import numpy as np
import pytest

from binpose_cell.config import PickingConfig
from binpose_cell.pick_motion import HandPath, PickEnd, execute

from .conftest import BLOCK_M, hand_at, lying

PLACE_M = np.array([0.0, -0.3])
OPEN_M = 0.036


def path_to(T, opening_m=OPEN_M):
    before, after = T.copy(), T.copy()
    before[2, 3] += 0.06
    after[2, 3] += 0.1
    return HandPath(before, T, after, opening_m)


def test_a_true_grasp_places_the_part(world):
    one = world(lying())
    result = execute(one, path_to(hand_at()), PLACE_M, PickingConfig())
    assert result.end is PickEnd.PLACED and result.part == 0
    assert result.overlap_m == 0.0 and result.slip_m < 1e-3
    assert result.width_m == pytest.approx(BLOCK_M[1], abs=3e-4)
    assert one.centers()[0, :2] == pytest.approx(PLACE_M, abs=0.01)
    assert 1.0 < result.motion_s < 6.0


def test_fingers_release_a_part_as_wide_as_they_came(world):
    one = world(lying())
    widths = []
    one.open_fingers = lambda width_m, *_: widths.append(width_m)
    execute(one, path_to(hand_at()), PLACE_M, PickingConfig())
    assert widths[0] == OPEN_M, "wider, they may jam in a hole or between two knuckles"


def test_a_grasp_beside_the_part_is_empty(world):
    result = execute(world(lying()), path_to(hand_at(x_m=0.04)), PLACE_M, PickingConfig())
    assert result.end is PickEnd.EMPTY and result.part == -1 and not result.succeeded


def test_a_slippery_part_is_lost(world):
    slippery = world(lying(), finger_friction=0.01, part_friction=0.01)
    result = execute(slippery, path_to(hand_at()), PLACE_M, PickingConfig())
    assert result.end in (PickEnd.EMPTY, PickEnd.LOST_IN_LIFT)


def test_a_colliding_approach_is_measured(world):
    result = execute(world(lying()), path_to(hand_at(y_m=0.007)), PLACE_M, PickingConfig())
    assert result.overlap_m == pytest.approx(0.004, abs=1e-4)


def test_the_approach_goes_from_pregrasp_to_grasp():
    path = path_to(hand_at())
    way = path.approach()
    assert (way[0] == path.T_pregrasp).all() and (way[-1] == path.T_grasp).all()
