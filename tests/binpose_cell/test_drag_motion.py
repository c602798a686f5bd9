"""A drag moves the part that the fingers press on, by physics."""

import numpy as np
import pytest

from binpose_cell.cell_camera import CellCamera
from binpose_cell.config import DragMotionConfig, PickingConfig
from binpose_cell.drag_motion import execute_drag
from binpose_cell.filled_bin import FilledBin
from binpose_cell.picking_cell import NO_GRASP, PickingCell
from binpose_core.frames.types import Drag, Grasp, Hypothesis
from binpose_core.geometry.transforms import inverse

from .conftest import BLOCK_M, SPEC, hand_at, lying

PAD_M = 0.008
FORWARD = np.array([0.6, 0.8, 0.0])


def drag_of(x_m: float = 0.0, y_m: float = 0.0, length_m: float = 0.04) -> Drag:
    """From the top of a block, in the world frame."""
    return Drag("block", 0, hand_at(x_m, y_m, BLOCK_M[2] + PAD_M), FORWARD, length_m)


def test_the_part_follows_the_fingers(world):
    one = world(lying(-0.03, -0.03))
    one.settle()
    before = one.centers()[0]
    assert execute_drag(one, drag_of(-0.03, -0.03), PickingConfig())
    one.settle()
    np.testing.assert_allclose(one.centers()[0] - before, 0.04 * FORWARD, atol=0.004)
    assert one.hand_pose()[2, 3] > 0.1, "the hand has left the part"


def test_a_part_that_is_higher_or_lower_than_expected_is_found(world):
    for error_m in (-0.004, 0.004):
        one = world(lying())
        drag = drag_of()
        drag.T_cam_hand[2, 3] += error_m
        assert execute_drag(one, drag, PickingConfig())
        assert np.linalg.norm(one.centers()[0, :2]) == pytest.approx(0.04, abs=0.006)


def test_nothing_moves_where_there_is_no_part(world):
    one = world(lying(0.1, 0.0))
    before = one.centers()
    assert not execute_drag(one, drag_of(-0.05, 0.0), PickingConfig())
    np.testing.assert_allclose(one.centers(), before, atol=1e-3)


@pytest.fixture
def cell(prepared):
    filled = FilledBin(SPEC, (prepared,), lying()[None])
    return PickingCell(filled, CellCamera(filled, 5), config=PickingConfig(looks=2, drag=DragMotionConfig(most=2)))


def test_the_cell_drags_a_part_before_it_gives_up(cell):
    drag = drag_of().moved(inverse(cell.T_world_cam))
    assert cell.take([], "Refused.", [drag]) is None and cell.drags == 0, "other noise may give a grasp"
    assert cell.take([], "Refused.", [drag]) is None and (cell.drags, cell.end) == (1, "")
    np.testing.assert_allclose(cell.world.centers()[0, :2], 0.04 * FORWARD[:2], atol=0.004)
    for _ in range(2):
        assert cell.take([], "Refused.", [drag]) is None
    assert (cell.drags, cell.end) == (1, "Refused."), "the same drag is not repeated"


def test_the_number_of_drags_in_a_row_is_limited(cell):
    T_cam_world = inverse(cell.T_world_cam)
    for number in range(3):
        for _ in range(2):
            place = number * 0.01 * FORWARD
            cell.take([], "", [drag_of(place[0], place[1], 0.01).moved(T_cam_world)])
    assert (cell.drags, cell.end) == (2, NO_GRASP)


def test_a_drag_comes_before_an_improbable_grasp_and_that_before_the_end(cell):
    T_cam_world = inverse(cell.T_world_cam)
    drag, hand = drag_of().moved(T_cam_world), T_cam_world @ hand_at(0.04 * FORWARD[0], 0.04 * FORWARD[1])
    pose = Hypothesis("block", T_cam_world @ lying(), 0.3)
    up = np.eye(4)
    up[2, 3] = 0.06
    before = T_cam_world @ up @ inverse(T_cam_world) @ hand
    grasp = Grasp("block", hand, BLOCK_M[1], 0.3, before, before, 0, pose=pose)
    assert cell.take([grasp], "", [drag]) is None and cell.drags == 1
    found = cell.take([grasp], "", [drag])
    assert found is not None and found.succeeded, "the same drag is not repeated: the grasp is tried"
