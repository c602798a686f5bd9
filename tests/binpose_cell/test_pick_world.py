"""The physics of a grip: what is held, what slips, and what an approach would hit."""

import numpy as np
import pytest

from binpose_cell.config import GripConfig
from binpose_cell.hand_carrier import states
from binpose_cell.pick_world import AWAY_M, thin_walls
from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import inverse
from binpose_simulation.bins import bin_walls

from .conftest import BLOCK_M, SPEC, hand_at, lying

OPEN_M, FINGER_M = 0.036, 0.02


def lifted_and_shaken(world, T_world_hand):
    """Motion of the first block in the hand in metres, and whether it is held in the end."""
    world.put_hand(T_world_hand, OPEN_M)
    world.close_fingers()
    before = inverse(world.hand_pose()) @ world.poses()[0]
    world.move_hand(T_world_hand[:3, 3] + [0.0, 0.0, 0.15], 0.6)
    world.shake_hand(0.01, 5.0, 2)
    after = inverse(world.hand_pose()) @ world.poses()[0]
    return float(np.linalg.norm(after[:3, 3] - before[:3, 3])), world.held() == [0]


def test_a_true_grasp_holds_through_lift_and_shake(world):
    slip_m, held = lifted_and_shaken(world(lying()), hand_at())
    assert held
    assert slip_m < 2e-4


def test_a_grasp_off_centre_holds(world):
    slip_m, held = lifted_and_shaken(world(lying()), hand_at(x_m=0.012))
    assert held
    assert slip_m < 1e-3


def test_a_grasp_displaced_by_a_finger_does_not(world):
    beside = BLOCK_M[0] / 2 + FINGER_M / 2 + 0.002
    _, held = lifted_and_shaken(world(lying()), hand_at(x_m=beside))
    assert not held


def test_without_friction_a_grasp_slips(world):
    _, held = lifted_and_shaken(world(lying(), finger_friction=0.01, part_friction=0.01), hand_at())
    assert not held


def test_the_fingers_stop_at_the_part(world):
    one = world(lying())
    one.put_hand(hand_at(), OPEN_M)
    one.close_fingers()
    assert one.width_m() == pytest.approx(BLOCK_M[1], abs=3e-4)


def test_fingers_that_meet_nothing_close(world):
    one = world(lying())
    one.put_hand(hand_at(z_m=0.2), OPEN_M)
    one.close_fingers()
    assert one.width_m() == pytest.approx(0.0, abs=3e-4)
    assert one.held() == []


def test_the_overlap_is_that_of_the_geometry_and_moves_nothing(world):
    one = world(lying())
    before = one.poses()
    assert one.overlap_m(states(hand_at()[None]), OPEN_M) == 0.0
    assert one.overlap_m(states(hand_at(y_m=0.007)[None]), OPEN_M) == pytest.approx(0.004, abs=1e-5)
    assert one.overlap_m(states(hand_at(z_m=0.005)[None]), OPEN_M) == pytest.approx(0.003, abs=1e-5), (
        "pads in the floor"
    )
    assert (one.poses() == before).all()


def test_walls_count_as_overlap(world):
    low, _ = SPEC.inner_bounds(0.0)
    deep = world(lying()).overlap_m(states(hand_at(x_m=float(low[0]))[None]), OPEN_M)
    assert deep > 0.001


def test_thin_walls_have_the_bins_inner_faces_and_rim():
    for (T, half), wall in zip(thin_walls(SPEC), bin_walls(SPEC), strict=True):
        inner = T[:3, 3] + half[2] * T[:3, 2]
        assert (inner - wall.point) @ wall.normal == pytest.approx(0.0, abs=1e-12)
        assert T[2, 3] + half[1] * T[2, 1] + half[2] * T[2, 2] == pytest.approx(SPEC.height_m, abs=SPEC.wall_m)


def test_a_removed_part_is_gone(world):
    one = world(lying(), lying(0.08))
    one.remove(0)
    one.settle()
    assert one.present.tolist() == [False, True]
    assert one.poses()[0, 2, 3] == pytest.approx(AWAY_M, abs=1e-6), "it does not fall"
    assert one.overlap_m(states(hand_at(y_m=0.007)[None]), OPEN_M) == 0.0


def test_the_lowest_point_is_the_lowest_corner(world):
    T = lying()
    T[2, 3] += 0.05
    assert world(T).lowest_m(0) == pytest.approx(0.05, abs=1e-6)


def test_equal_worlds_move_equally(world):
    one, other = world(lying(), lying(0.06, 0.01)), world(lying(), lying(0.06, 0.01))
    for each in (one, other):
        lifted_and_shaken(each, hand_at(0.004))
    assert (one.poses() == other.poses()).all()


def test_parts_come_to_rest(world):
    T = lying()
    T[2, 3] += 0.01
    one = world(T)
    one.settle()
    assert one.poses()[0, :3, 3] == pytest.approx(lying()[:3, 3], abs=5e-4)


def test_settings_out_of_range_are_refused():
    with pytest.raises(BinposeError, match="force_n"):
        GripConfig(force_n=-1.0)
