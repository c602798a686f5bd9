"""A hand on the Panda: it is where the kinematics say, follows straight lines, and picks as a free hand does."""

from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest

from binpose_cell.carriers import hand_carrier
from binpose_cell.config import PickingConfig
from binpose_cell.drag_motion import execute_drag
from binpose_cell.filled_bin import FilledBin
from binpose_cell.hand_carrier import HandPath, OutOfReachError
from binpose_cell.pick_motion import PickEnd, execute
from binpose_cell.pick_world import PickWorld
from binpose_core.frames.types import Drag
from binpose_core.geometry.transforms import rotation_angle_rad
from binpose_grasping.arm import ArmConfig, load_arm
from binpose_grasping.cell import Placement

from .conftest import BLOCK_M, SPEC, hand_at, lying

CONFIG = PickingConfig(arm=ArmConfig(name="fer"))
PLACE_M = np.array([0.1, -0.3])
try:
    metadata.distribution("example-robot-data")
    PANDA_MISSING = ""
except metadata.PackageNotFoundError:
    PANDA_MISSING = "the extra `picking` is not installed: no shape of the Panda"
pytestmark = pytest.mark.skipif(bool(PANDA_MISSING), reason=PANDA_MISSING)


@pytest.fixture
def world(prepared):
    def make(*T_world_obj, config=CONFIG):
        filled = FilledBin(SPEC, (prepared,) * len(T_world_obj), np.stack(T_world_obj))
        return PickWorld(filled.bodies, SPEC, filled.T_world_obj, config=config.grip, carrier=hand_carrier(config))

    return make


def path_to(T, joints=None):
    before, after = T.copy(), T.copy()
    before[2, 3] += 0.06
    after[2, 3] += 0.1
    return HandPath(before, T, after, 0.036, joints)


def test_the_hand_in_the_physics_is_where_the_kinematics_say(world, rng):
    """MuJoCo's own kinematics of the links that were read from the URDF, and those of the planner."""
    arm, one = load_arm(CONFIG.arm), world(lying())
    for joints in rng.uniform(arm.lower, arm.upper, (20, 7)):
        one._put(joints, 0.04)
        one._mujoco.mj_kinematics(one._model, one._data)
        here = one._data.xpos[one._hand]
        expected = np.linalg.inv(CONFIG.bin.matrix) @ arm.forward(joints[None])[0]
        np.testing.assert_allclose(here, expected[:3, 3], atol=1e-6)
        np.testing.assert_allclose(one._data.xmat[one._hand].reshape(3, 3), expected[:3, :3], atol=1e-6)
        np.testing.assert_allclose(one.hand_pose(), expected, atol=1e-9)


def test_it_follows_a_straight_line_and_holds_its_direction(world):
    one = world(lying())
    one.put_hand(hand_at(z_m=0.1), 0.04)
    away_m, turned_rad = [], []

    def watch(world):
        here = world.hand_pose()
        away_m.append(np.linalg.norm((here[:3, 3] - [0.0, 0.0, 0.1])[[0, 2]]))
        turned_rad.append(rotation_angle_rad(here[:3, :3], hand_at()[:3, :3]))

    one._on_step = watch
    one.move_hand(np.array([0.0, 0.1, 0.1]), 0.25)
    assert one.hand_pose()[:3, 3] == pytest.approx([0.0, 0.1, 0.1], abs=1e-3)
    assert max(away_m) < 2e-3 and max(turned_rad) < 0.01


def test_joints_keep_their_speed_limits(world):
    one = world(lying())
    one.put_hand(hand_at(z_m=0.15), 0.04)
    speeds = []
    one._on_step = lambda world: speeds.append(np.abs(world._data.qvel[:7]))
    one.carry_hand(np.array([*PLACE_M, 0.15]), 5.0)
    limits = np.array([2.175] * 4 + [2.61] * 3)
    assert (np.max(speeds, axis=0) < 1.1 * limits).all() and (np.max(speeds, axis=0) / limits).max() > 0.8


def test_it_places_a_part_like_a_free_hand(world):
    free = execute(world(lying(), config=PickingConfig()), path_to(hand_at()), PLACE_M, PickingConfig())
    one = world(lying())
    result = execute(one, path_to(hand_at()), PLACE_M, CONFIG)
    assert result.end is PickEnd.PLACED and free.end is PickEnd.PLACED and result.links == ()
    assert result.width_m == pytest.approx(BLOCK_M[1], abs=3e-4) and result.overlap_m == 0.0
    assert one.centers()[0, :2] == pytest.approx(PLACE_M, abs=0.01)


def test_it_takes_the_branch_that_is_named(world):
    one = world(lying())
    carrier = one.carrier
    for joints in load_arm(CONFIG.arm).solutions(CONFIG.bin.matrix @ hand_at())[:3]:
        try:
            found = carrier.approach(path_to(hand_at(), joints))
        except OutOfReachError:
            continue
        poses = [np.linalg.inv(CONFIG.bin.matrix) @ T for T in load_arm(CONFIG.arm).forward(found)]
        np.testing.assert_allclose(poses[-1], hand_at(), atol=2e-4)
        np.testing.assert_allclose(poses[0][:3, 3], hand_at()[:3, 3] + [0, 0, 0.06], atol=2e-4)


def test_a_line_at_the_limits_of_one_branch_is_solved_with_all_joints(world):
    """From a bent elbow, the line of the analytic branch leaves the limits; the hand still follows it."""
    carrier = world(lying()).carrier
    carrier._aim(np.array([1.88, 1.43, -1.64, -2.71, 1.45, 1.67, 0.22]), np.zeros(7))
    direction, start = np.array([-0.2558, -0.9667, 0.0]) / np.linalg.norm([0.2558, 0.9667]), carrier.target_m()
    T = carrier._forward(carrier._target)
    course = carrier.along(direction, -0.01, 0.01)
    for way_m in (-0.01, -0.004, 0.003, 0.01):
        course.follow(way_m, 0.0)
        np.testing.assert_allclose(carrier.target_m(), start + way_m * direction, atol=3e-4)
        np.testing.assert_allclose(carrier._forward(carrier._target)[:3, :3], T[:3, :3], atol=2e-3)


def test_a_path_that_is_out_of_reach_is_an_end_and_moves_nothing(world):
    one = world(lying())
    before = one.poses()
    result = execute(one, path_to(hand_at(x_m=1.5)), PLACE_M, CONFIG)
    assert result.end is PickEnd.OUT_OF_REACH and not result.succeeded
    np.testing.assert_array_equal(one.poses(), before)


def test_links_that_touch_something_are_named(world):
    """A table above the arm's base goes through its first links."""
    sunk = world(lying(), config=replace(CONFIG, bin=Placement(x_m=0.5, z_m=0.3)))
    for _ in range(20):
        sunk._step()
    assert sunk.touched and all(name.startswith("arm_link") for name in sunk.touched)
    one = world(lying())
    for _ in range(20):
        one._step()
    assert one.touched == set()


def test_an_arm_drags_a_part(world):
    one, way = world(lying(0.0, -0.05)), np.array([0.6, 0.8, 0.0])
    one.settle()
    before = one.centers()[0]
    drag = Drag("block", 0, hand_at(0.0, -0.05, BLOCK_M[2] + one.gripper.pad_m), way, 0.04)
    one.touched.clear()
    assert execute_drag(one, drag, CONFIG)
    one.park_hand()
    one.settle()
    np.testing.assert_allclose(one.centers()[0] - before, 0.04 * way, atol=0.006)
    assert not one.touched
