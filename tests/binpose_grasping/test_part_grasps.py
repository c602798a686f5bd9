from dataclasses import asdict, replace

import numpy as np
import pytest

from binpose_core.parts.grasps import GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.arm import ArmConfig
from binpose_grasping.config import PlannerConfig
from binpose_grasping.gripper import GripperConfig
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
    armed = part_grasps(stored(bar, GripperConfig()), replace(CONFIG, arm=ArmConfig(name="fer")))
    np.testing.assert_allclose(armed.relative, [1, 1, 0.5, 0.5])


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
