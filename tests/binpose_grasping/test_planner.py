from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Grasp, PoseEstimate
from binpose_core.geometry.transforms import inverse, transform
from binpose_core.meshes.mesh import sample_faces
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import Direction, PlannerConfig
from binpose_grasping.gripper import hand_boxes
from binpose_grasping.inside import count_inside
from binpose_grasping.planner import GraspPlanner
from binpose_simulation.scene import SimulatedView

from .conftest import TABLE_M, box_part, on_table, seen

CONFIG = PlannerConfig()


@pytest.fixture(scope="module")
def planner(parts: dict[str, ObjectModel]) -> GraspPlanner:
    return GraspPlanner(parts)


@pytest.fixture(scope="module")
def thorough(parts: dict[str, ObjectModel]) -> GraspPlanner:
    """It offers every grasp."""
    return GraspPlanner(parts, PlannerConfig(tries=10**6, per_part=10**6))


def hit(grasp: Grasp, T_cam: np.ndarray, surface: np.ndarray) -> bool:
    """Whether the open hand has points of a surface in it, at the grasp or on its way there."""
    boxes = hand_boxes(CONFIG.gripper, np.array([grasp.width_m]), CONFIG.pregrasp_m)
    return bool(count_inside(inverse(grasp.T_cam_hand)[None], *boxes, transform(T_cam, surface))[0])


def same(a: list[Grasp], b: list[Grasp]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x.T_cam_hand, y.T_cam_hand) and (x.score, x.pose_index) == (y.score, y.pose_index)
        for x, y in zip(a, b, strict=True)
    )


def test_in_a_bin_no_hand_touches_another_part(
    planner: GraspPlanner, parts: dict[str, ObjectModel], view: SimulatedView, true_poses: list[PoseEstimate]
) -> None:
    grasps = planner(view.frame, true_poses)
    assert len(grasps) >= 3
    surfaces = [sample_faces(parts[p.object_id].mesh, 20000, np.random.default_rng(7))[0] for p in true_poses]
    touched = [
        (grasp.pose_index, other)
        for grasp in grasps
        for other, pose in enumerate(true_poses)
        if other != grasp.pose_index and hit(grasp, pose.T_cam_obj, surfaces[other])
    ]
    assert not touched


def test_in_a_bin_the_fingers_close_on_the_part_that_is_named(
    planner: GraspPlanner, parts: dict[str, ObjectModel], view: SimulatedView, true_poses: list[PoseEstimate]
) -> None:
    for grasp in planner(view.frame, true_poses):
        pose = true_poses[grasp.pose_index]
        assert grasp.object_id == pose.object_id
        surface = transform(
            inverse(grasp.T_cam_hand) @ pose.T_cam_obj,
            sample_faces(parts[pose.object_id].mesh, 20000, np.random.default_rng(1))[0],
        )
        pad = surface[(np.abs(surface[:, 0]) < 0.005) & (np.abs(surface[:, 2] - 0.003) < 0.007)]
        assert np.abs(pad[:, 1].max() - grasp.width_m / 2) < 0.003
        assert np.abs(pad[:, 1].min() + grasp.width_m / 2) < 0.003


def test_the_same_frame_has_the_same_grasps(
    parts: dict[str, ObjectModel], planner: GraspPlanner, view: SimulatedView, true_poses: list[PoseEstimate]
) -> None:
    assert same(planner(view.frame, true_poses), GraspPlanner(parts)(view.frame, true_poses))


def test_what_is_seen_beside_a_part_is_kept_clear_of(thorough: GraspPlanner, bar: ObjectModel) -> None:
    wall = box_part("wall", 0.1, 0.01, 0.04)
    T = [on_table(bar), on_table(wall, y_m=-0.02), on_table(wall, y_m=0.02)]
    pose = [PoseEstimate("bar", T[0], 1.0)]
    alone = thorough(seen([bar], T[:1]), pose)
    assert any(abs(grasp.width_m - 0.02) < 1e-4 for grasp in alone)
    surface = sample_faces(wall.mesh, 20000, np.random.default_rng(0))[0]
    assert any(hit(grasp, T_wall, surface) for grasp in alone for T_wall in T[1:])
    between = thorough(seen([bar, wall, wall], T), pose)
    assert not any(hit(grasp, T_wall, surface) for grasp in between for T_wall in T[1:])


def test_a_found_part_is_kept_clear_of_where_the_sensor_saw_nothing(
    thorough: GraspPlanner, bar: ObjectModel, cube: ObjectModel
) -> None:
    T = [on_table(bar), on_table(cube, y_m=0.03)]
    poses = [PoseEstimate(name, pose, 1.0) for name, pose in zip(("bar", "cube"), T, strict=True)]
    frame = seen([bar, cube], T)
    depth_m = frame.depth_m.copy()
    depth_m[depth_m < TABLE_M - 0.026] = 0  # the cube, which is higher than the bar
    blind = replace(frame, depth_m=depth_m)
    surface = sample_faces(cube.mesh, 20000, np.random.default_rng(0))[0]
    unknown = [grasp for grasp in thorough(blind, poses[:1]) if hit(grasp, T[1], surface)]
    assert unknown
    assert not [grasp for grasp in thorough(blind, poses) if grasp.pose_index == 0 and hit(grasp, T[1], surface)]


def test_no_finger_goes_through_the_table(thorough: GraspPlanner, parts: dict[str, ObjectModel]) -> None:
    for part in parts.values():
        T = on_table(part)
        grasps = thorough(seen([part], [T]), [PoseEstimate(part.id, T, 1.0)])
        assert grasps
        for grasp in grasps:
            low, high = hand_boxes(CONFIG.gripper, np.array([grasp.width_m]))
            for finger in (0, 1):
                sides = np.stack([low[0, finger], high[0, finger]], 1)
                corners = np.stack(np.meshgrid(*sides), -1).reshape(-1, 3)
                assert transform(grasp.T_cam_hand, corners)[:, 2].max() < TABLE_M + 1e-4


@pytest.mark.parametrize("down", [Direction(), Direction(0.0, 0.3, 1.0), Direction(-0.5, 0.0, 1.0)])
def test_the_hand_comes_about_the_way_down_and_goes_back_against_it(
    parts: dict[str, ObjectModel], cube: ObjectModel, down: Direction
) -> None:
    config = PlannerConfig(down=down, cone_rad=0.4)
    T = on_table(cube)
    grasps = GraspPlanner(parts, config)(seen([cube], [T]), [PoseEstimate("cube", T, 1.0)])
    assert grasps
    for grasp in grasps:
        approach = grasp.T_cam_hand[:3, 2]
        assert np.arccos(approach @ down.unit) <= config.cone_rad + 1e-9
        np.testing.assert_allclose(grasp.T_cam_pregrasp[:3, :3], grasp.T_cam_hand[:3, :3])
        way = grasp.T_cam_hand[:3, 3] - grasp.T_cam_pregrasp[:3, 3]
        np.testing.assert_allclose(way, config.pregrasp_m * approach, atol=1e-12)
        back = grasp.T_cam_retreat[:3, 3] - grasp.T_cam_hand[:3, 3]
        np.testing.assert_allclose(back, -config.retreat_m * down.unit, atol=1e-12)


def test_grasps_are_ordered_by_their_score_times_the_probability(planner: GraspPlanner, cube: ObjectModel) -> None:
    T = [on_table(cube, -0.1), on_table(cube, 0.1)]
    frame = seen([cube, cube], T)
    grasps = planner(frame, [PoseEstimate("cube", T[0], 0.6), PoseEstimate("cube", T[1], 0.9)])
    scores = [grasp.score for grasp in grasps]
    assert scores == sorted(scores, reverse=True)
    best = {index: max(g.score for g in grasps if g.pose_index == index) for index in (0, 1)}
    assert best[0] / best[1] == pytest.approx(0.6 / 0.9)


def test_nothing_to_grasp_has_a_reason(parts: dict[str, ObjectModel], planner: GraspPlanner, cube: ObjectModel) -> None:
    T = on_table(cube)
    frame, pose = seen([cube], [T]), PoseEstimate("cube", T, 1.0)
    block = box_part("block", 0.09, 0.09, 0.09)

    def reason(found: GraspPlanner, *poses: PoseEstimate) -> str:
        plan = found.plan(frame, poses)
        assert plan.grasps == ()
        return plan.reason

    assert reason(planner) == "There was no pose to grasp at."
    assert "probability of 0.5" in reason(planner, replace(pose, score=0.4))
    assert "that the gripper can hold it by" in reason(GraspPlanner({"block": block}), replace(pose, object_id="block"))
    sideways = GraspPlanner(parts, PlannerConfig(down=Direction(1.0, 1.0, 1.0), cone_rad=0.01))
    assert "within 0.01 rad" in reason(sideways, pose)
    buried = T.copy()
    buried[2, 3] = TABLE_M + 0.1
    assert "in the way" in reason(planner, replace(pose, T_cam_obj=buried))
    assert planner.plan(frame, [pose]).reason == ""


def test_a_frame_without_depth_and_an_unknown_part_are_refused(planner: GraspPlanner, cube: ObjectModel) -> None:
    T = on_table(cube)
    frame, pose = seen([cube], [T]), PoseEstimate("cube", T, 1.0)
    with pytest.raises(BinposeError, match="has no depth"):
        planner(replace(frame, depth_m=None), [pose])
    with pytest.raises(BinposeError, match=r"Poses of teapot; expected some of cube, bar, rod"):
        planner(frame, [replace(pose, object_id="teapot")])
