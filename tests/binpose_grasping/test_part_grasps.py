from dataclasses import asdict, replace

import numpy as np
import pytest

from binpose_core.geometry.transforms import inverse
from binpose_core.meshes.mesh import sample_faces
from binpose_core.parts.grasps import GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import PlannerConfig
from binpose_grasping.gripper import GripperConfig, hand_boxes
from binpose_grasping.inside import count_inside
from binpose_grasping.part_grasps import part_grasps
from binpose_grasping.search_config import SuctionConfig

CONFIG = PlannerConfig(search_missing=False)


def stored(part: ObjectModel, gripper: GripperConfig, tools: tuple[int, ...] = (0, 0)) -> ObjectModel:
    count = len(tools)
    T = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (count, 1, 1))
    quality = np.linspace(0.8, 0.4, count)
    grasps = GraspSet(
        T, np.full(count, 0.02), quality, quality, np.zeros((count, 2, 3)), np.array(tools, np.uint8),
        {"gripper": asdict(gripper), "suction": asdict(SuctionConfig())},
    )  # fmt: skip
    return replace(part, grasps=grasps)


def test_stored_grasps_are_used_with_their_copies_best_first(bar: ObjectModel) -> None:
    found = part_grasps(stored(bar, GripperConfig()), CONFIG)
    assert len(found.grasps) == 2 and found.missing == ""
    np.testing.assert_allclose(found.relative, [1, 0.5])
    np.testing.assert_array_equal(found.line, [0, 1])


def test_hands_of_a_search_come_from_all_sides_and_never_through_the_part(bar: ObjectModel) -> None:
    config = PlannerConfig()
    found = part_grasps(bar, config)
    lines = {int(line): found.grasps.take(found.line == line) for line in np.unique(found.line)}
    assert len(lines) > 10
    assert max(len(hands) for hands in lines.values()) > config.turns / 3
    for hands in lines.values():
        assert np.ptp(hands.contacts_m, axis=0).max() < 1e-12
        beyond_m = hands.contacts_m.mean(axis=1) - hands.T_obj_hand[:, :3, 3]
        depth_m = (beyond_m * hands.T_obj_hand[:, :3, 2]).sum(axis=1)
        order = np.argsort(depth_m)
        assert (np.diff(hands.quality[order]) <= 1e-12).all(), "the nearer to the finger tips, the less firm"
        assert np.abs(np.diff(hands.T_obj_hand[:, :3, 1], axis=0)).max(initial=0) < 1e-12
    low, high = hand_boxes(config.gripper, found.grasps.width_m, bar.diameter_m)
    surface = sample_faces(bar.mesh, 20_000, np.random.default_rng(3))[0]
    assert not count_inside(inverse(found.grasps.T_obj_hand), low + 1e-6, high - 1e-6, surface).any()


def test_a_users_own_grasps_are_not_turned(bar: ObjectModel) -> None:
    assert len(part_grasps(stored(bar, GripperConfig()), replace(CONFIG, turns=360)).grasps) == 2


def test_those_of_another_gripper_are_not(bar: ObjectModel) -> None:
    other = stored(bar, GripperConfig(opening_m=0.1))
    assert part_grasps(other, CONFIG).missing == (
        "The stored grasps of 'bar' are for another gripper; make them with `binpose grasps bar` and train, or give "
        "its catalogue."
    )
    assert len(part_grasps(other, PlannerConfig(gripper=GripperConfig(opening_m=0.1), search_missing=False)).grasps)


@pytest.mark.parametrize(("tool", "count"), [("parallel", 1), ("suction", 1), ("any", 2)])
def test_the_tool_of_the_robot_decides(bar: ObjectModel, tool: str, count: int) -> None:
    found = part_grasps(stored(bar, GripperConfig(), (0, 1)), replace(CONFIG, tool=tool))
    assert len(found.grasps) == count
    assert found.relative[0] == 1


def test_without_a_grasp_for_the_tool_there_is_a_reason(bar: ObjectModel) -> None:
    assert part_grasps(stored(bar, GripperConfig()), replace(CONFIG, tool="suction")).missing == (
        "'bar' has no grasp for the tool 'suction'; make some with `binpose grasps`."
    )
    assert "The model has no grasps of 'bar'; make them with `binpose grasps bar`" in part_grasps(bar, CONFIG).missing
