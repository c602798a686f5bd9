"""The planner finds grasps in settled bins: the law that a planner with too few directions of approach breaks."""

from collections.abc import Iterator

import numpy as np
import pytest

from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import Direction, PlannerConfig
from binpose_grasping.planner import GraspPlan, GraspPlanner
from binpose_grasping.refusals import Refusal
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.scene import SceneConfig, SimulatedView, render_view, simulate_pile
from binpose_simulation.viewpoint import ViewpointConfig

from .conftest import prepared

BINS = 6
VISIBLE = 0.4
SCENE = SceneConfig(
    content=ContentConfig(parts=(8, 10), row=(1, 1), distractor_share=0.0, bin_size_m=(0.3, 0.2, 0.08)),
    viewpoint=ViewpointConfig(width=640, height=480, part_size_px=(70, 90)),
)


def views(parts: dict[str, ObjectModel]) -> Iterator[SimulatedView]:
    """Bins that are wide enough for the hand, as a noisy camera sees them."""
    objects = prepared(parts)
    for seed in range(BINS):
        rng = np.random.default_rng([31, seed])
        yield render_view(simulate_pile(rng, objects, SCENE), rng, SCENE)


@pytest.fixture(scope="module")
def plans(parts: dict[str, ObjectModel]) -> list[tuple[int, GraspPlan]]:
    """Number of visible parts, and the plan of each bin with true poses and a hand from above."""
    found = []
    for view in views(parts):
        down = Direction(*map(float, view.T_cam_world[:3, :3] @ [0.0, 0.0, -1.0]))
        planner = GraspPlanner(parts, PlannerConfig(down=down, per_part=1, most=100))
        poses = [
            PoseEstimate(name, T, 0.95)
            for name, T, visible in zip(view.object_ids, view.T_cam_obj, view.visible_fraction, strict=True)
            if visible > VISIBLE
        ]
        found.append((len(poses), planner.plan(view.frame, poses)))
    return found


def test_every_bin_has_a_grasp_and_many_visible_parts_have_one(plans: list[tuple[int, GraspPlan]]) -> None:
    assert all(plan.grasps for _, plan in plans)
    assert sum(len(plan.grasps) for _, plan in plans) >= 0.3 * sum(count for count, _ in plans)


def test_directions_of_approach_are_not_the_bottleneck(plans: list[tuple[int, GraspPlan]]) -> None:
    """About as many hands are in the cone as of evenly distributed ones, and no reason refuses all of them."""
    refused = {reason: sum(plan.refused.get(reason, 0) for _, plan in plans) for reason in Refusal}
    offered = sum(len(plan.grasps) for _, plan in plans)
    inside = offered + sum(refused.values()) - refused[Refusal.DIRECTION]
    evenly = (1 - np.cos(PlannerConfig().cone_rad)) / 2
    assert inside > 0.7 * evenly * (inside + refused[Refusal.DIRECTION])
    assert refused[Refusal.HITS_OBSERVED] < 0.9 * inside
