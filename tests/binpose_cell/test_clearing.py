"""A bin is emptied with true poses; whatever stops it is given as a reason."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_cell.cell_camera import CellCamera
from binpose_cell.clearing import BinClearing, true_poses
from binpose_cell.config import PickingConfig
from binpose_cell.filled_bin import FilledBin
from binpose_cell.picking_cell import CLEARED, NO_TRIES
from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import PoseEstimate
from binpose_grasping.config import PlannerConfig
from binpose_grasping.planner import NO_POSE
from binpose_simulation.world import UnstableError

from .conftest import SPEC, lying


@pytest.fixture
def filled(prepared):
    return FilledBin(SPEC, (prepared,) * 2, np.stack([lying(-0.05), lying(0.05, 0.02)]))


def described(clearing):
    return [(one.result, one.pose.T_cam_obj.tolist(), one.grasp.T_cam_hand.tolist()) for one in clearing.tries]


def test_true_poses_empty_the_bin_equally_each_time(filled, block):
    clearings = [BinClearing(filled, {"block": block}, CellCamera(filled, 5)).run() for _ in range(2)]
    assert all(clearing.reason == CLEARED and not clearing.left for clearing in clearings)
    assert [one.succeeded for one in clearings[0].tries] == [True, True]
    assert described(clearings[0]) == described(clearings[1])


def test_no_pose_is_the_reason(filled, block):
    clearing = BinClearing(filled, {"block": block}, CellCamera(filled, 5), poses=lambda view: []).run()
    assert clearing.tries == () and clearing.left == 2 and clearing.reason == NO_POSE


def test_wrong_poses_fail_until_the_tries_are_used_up(filled, block):
    """Each grasp at a pose far above the parts closes on nothing."""

    def above(view):
        return [replace(pose, T_cam_obj=lifted(pose.T_cam_obj, view)) for pose in true_poses(view)]

    def lifted(T_cam_obj, view):
        T = T_cam_obj.copy()
        T[:3, 3] += view.T_cam_world[:3, :3] @ [0.0, 0.0, 0.08 + 0.02 * len(ends)]
        return T

    ends = []
    cell = BinClearing(
        filled, {"block": block}, CellCamera(filled, 5), poses=above, config=PickingConfig(tries_per_part=1)
    )
    clearing = cell.run(on_try=ends.append)
    assert clearing.reason == NO_TRIES and clearing.left == 2
    assert [one.result.end.name for one in clearing.tries] == ["EMPTY", "EMPTY"]


def test_every_view_is_shown(filled, block):
    shown = []
    cell = BinClearing(filled, {"block": block}, CellCamera(filled, 5), on_view=lambda *seen: shown.append(seen))
    assert len(cell.run().tries) == len(shown)
    assert all(isinstance(pose, PoseEstimate) for _, poses, _ in shown for pose in poses)


def test_another_tool_is_refused(filled, block):
    with pytest.raises(BinposeError, match="parallel hand"):
        BinClearing(filled, {"block": block}, CellCamera(filled, 5), planner=PlannerConfig(tool="suction"))


def test_diverging_physics_is_refused(filled, block, monkeypatch):
    def diverge(*_):
        raise UnstableError("at 0.1 s")

    cell = BinClearing(filled, {"block": block}, CellCamera(filled, 5))
    monkeypatch.setattr(cell.world, "settle", diverge)
    with pytest.raises(BinposeError, match="timestep_s"):
        cell.run()
