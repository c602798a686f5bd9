"""A cell executes grasps that come from elsewhere, and ends when nothing is left to do."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_cell.cell_camera import CellCamera
from binpose_cell.config import PickingConfig
from binpose_cell.filled_bin import FilledBin
from binpose_cell.picking_cell import CLEARED, REPEATED, PickingCell
from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Grasp, Hypothesis
from binpose_core.geometry.transforms import inverse

from .conftest import BLOCK_M, SPEC, hand_at, lying


@pytest.fixture
def cell(prepared):
    filled = FilledBin(SPEC, (prepared,), lying()[None])
    return PickingCell(filled, CellCamera(filled, 5), config=PickingConfig(looks=2))


def grasp_of(cell, T_world_hand):
    """The grasp of a hand in the world, in the camera frame."""
    T_cam_world = inverse(cell.T_world_cam)
    before, after = T_world_hand.copy(), T_world_hand.copy()
    before[2, 3] += 0.06
    after[2, 3] += 0.1
    hand, pregrasp, retreat = (T_cam_world @ T for T in (T_world_hand, before, after))
    pose = Hypothesis("block", T_cam_world @ lying(), 0.9)
    return Grasp("block", hand, BLOCK_M[1], 0.8, pregrasp, retreat, 0, pose=pose)


def test_a_grasp_in_the_camera_frame_takes_the_part(cell):
    view = cell.look()
    np.testing.assert_allclose(view.T_cam_obj[0], inverse(cell.T_world_cam) @ lying(), atol=1e-3)
    grasp = grasp_of(cell, hand_at())
    found = cell.take([grasp])
    assert found.succeeded and found.held_id == "block" and found.grasp is grasp and found.number == 0
    assert (cell.end, cell.left, cell.parts, cell.tries) == (CLEARED, 0, 1, 1)
    assert not (cell.look().visible_px > 0).any(), "the next image does not show it"


def test_a_failed_grasp_is_not_repeated_and_the_next_one_is_taken(cell):
    cell.look()
    beside, on = grasp_of(cell, hand_at(x_m=0.05)), grasp_of(cell, hand_at())
    assert not cell.take([beside, on]).succeeded
    cell.look()
    assert cell.take([beside]) is None and not cell.end
    assert cell.take([beside, on]).grasp is on


def test_it_ends_after_some_images_without_a_grasp(cell):
    for end in ("", "No pose."):
        cell.look()
        assert cell.take([], "No pose.") is None
        assert cell.end == end


def test_only_repeated_grasps_are_a_reason(cell):
    beside = grasp_of(cell, hand_at(x_m=0.05))
    assert cell.take([beside]) is not None
    assert cell.take([beside]) is None and cell.take([beside]) is None
    assert cell.end == REPEATED


def test_a_grasp_that_the_hand_cannot_execute_is_refused(cell):
    grasp = grasp_of(cell, hand_at())
    with pytest.raises(BinposeError, match="parallel"):
        cell.take([replace(grasp, tool="suction")])
    with pytest.raises(BinposeError, match="pose of its part"):
        cell.take([replace(grasp, pose=None)])


def test_an_interrupted_try_leaves_a_cell_that_goes_on(prepared):
    class Stopped(Exception):
        pass

    def stop(world):
        if armed and world.time_s > armed[0]:
            raise Stopped

    armed = []
    filled = FilledBin(SPEC, (prepared,), lying()[None])
    cell = PickingCell(filled, CellCamera(filled, 5), on_step=stop)
    cell.begin()
    armed.append(cell.world.time_s + 1.0)
    with pytest.raises(Stopped):
        cell.take([grasp_of(cell, hand_at())])
    armed.clear()
    cell.abort()
    assert cell.left == 1 and not cell.end and cell.world.centers()[0, 2] < SPEC.height_m
