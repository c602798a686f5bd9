from dataclasses import replace

import numpy as np
import pytest
import trimesh
from trimesh.transformations import translation_matrix

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Grasp, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import inverse, transform
from binpose_core.meshes.mesh import sample_faces
from binpose_core.parts.grasps import GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.arm import ArmConfig, load_arm
from binpose_grasping.cell import BinConfig, CellConfig, Placement, bin_boxes
from binpose_grasping.config import Direction, PlannerConfig, RankingConfig
from binpose_grasping.gripper import hand_boxes
from binpose_grasping.inside import count_inside
from binpose_grasping.part_grasps import part_grasps
from binpose_grasping.planner import GraspPlanner
from binpose_grasping.refusals import Refusal
from binpose_grasping.search_config import SearchConfig
from binpose_simulation.scene import SimulatedView

from .conftest import TABLE_M, box_part, needs_panda, on_table, seen

CONFIG = PlannerConfig()
LENIENT = RankingConfig(least_hold=0.0, most_covered=1.0, most_unseen=1.0)


@pytest.fixture(scope="module")
def planner(parts: dict[str, ObjectModel]) -> GraspPlanner:
    return GraspPlanner(parts)


@pytest.fixture(scope="module")
def thorough(parts: dict[str, ObjectModel]) -> GraspPlanner:
    """It offers every grasp."""
    return GraspPlanner(parts, PlannerConfig(tries=10**6, enough=10**6, per_part=10**6, most=10**6, ranking=LENIENT))


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
    thorough: GraspPlanner, parts: dict[str, ObjectModel], view: SimulatedView, true_poses: list[PoseEstimate]
) -> None:
    grasps = thorough(view.frame, true_poses)
    assert len(grasps) >= 2
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
    depth_m[254:][depth_m[254:] < TABLE_M - 0.001] = 0  # the cube, beside the bar
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


def test_the_widest_cone_counts_where_nothing_is_free_within_the_usual_one(
    parts: dict[str, ObjectModel], cube: ObjectModel
) -> None:
    T = on_table(cube)
    frame, poses = seen([cube], [T]), [PoseEstimate("cube", T, 1.0)]
    diagonal = PlannerConfig(down=Direction(0.0, 0.9, 1.0), cone_rad=0.05, widest_cone_rad=0.8)
    found = GraspPlanner(parts, diagonal)(frame, poses)
    assert found
    angles = [np.arccos(grasp.T_cam_hand[:3, 2] @ diagonal.down.unit) for grasp in found]
    assert min(angles) > 0.05 and max(angles) <= 0.8 + 1e-9
    assert not GraspPlanner(parts, replace(diagonal, widest_cone_rad=0.05))(frame, poses)
    upright = GraspPlanner(parts, PlannerConfig(cone_rad=0.4, widest_cone_rad=1.0))(frame, poses)
    assert max(np.arccos(np.minimum(grasp.T_cam_hand[2, 2], 1.0)) for grasp in upright) <= 0.4 + 1e-9


def test_grasps_are_ordered_by_their_score_and_it_falls_with_the_probability(
    planner: GraspPlanner, cube: ObjectModel
) -> None:
    T = [on_table(cube, -0.1), on_table(cube, 0.1)]
    frame = seen([cube, cube], T)
    grasps = planner(frame, [PoseEstimate("cube", T[0], 0.6), PoseEstimate("cube", T[1], 0.9)])
    scores = [grasp.score for grasp in grasps]
    assert scores == sorted(scores, reverse=True)
    best = {index: max(g.score for g in grasps if g.pose_index == index) for index in (0, 1)}
    assert best[0] / best[1] == pytest.approx(0.6 / 0.9, rel=0.1)
    for grasp in grasps:
        assert 0 <= grasp.score <= 1
        assert grasp.score == pytest.approx(np.prod(list(grasp.factors.values())))


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
    wide = reason(GraspPlanner({"block": block}), replace(pose, object_id="block"))
    assert "that the gripper can hold it by" in wide and "between 1 and 74 mm apart" in wide
    stored = GraspPlanner({"cube": cube}, PlannerConfig(search_missing=False))
    assert "make them with `binpose grasps cube`" in reason(stored, pose)
    narrow = PlannerConfig(down=Direction(1.0, 1.0, 1.0), cone_rad=0.01, widest_cone_rad=0.02)
    assert "within 0.02 rad" in reason(GraspPlanner(parts, narrow), pose)
    buried = T.copy()
    buried[2, 3] = TABLE_M + 0.1
    assert "because too much lies on the part (COVERED)" in reason(planner, replace(pose, T_cam_obj=buried))
    uncovered = GraspPlanner(parts, PlannerConfig(ranking=LENIENT))
    assert "the hand would hit something that the depth image shows (HITS_OBSERVED)" in reason(
        uncovered, replace(pose, T_cam_obj=buried)
    )
    assert planner.plan(frame, [pose]).reason == ""


def test_every_grasp_is_offered_or_counted_and_the_best_refused_one_is_shown(
    planner: GraspPlanner, parts: dict[str, ObjectModel], cube: ObjectModel
) -> None:
    T = on_table(cube)
    plan = planner.plan(seen([cube], [T]), [PoseEstimate("cube", T, 1.0)])
    total = len(part_grasps(cube, CONFIG).grasps)  # without an arm, a hand that is turned by half is no other grasp
    assert len(plan.grasps) + sum(plan.refused.values()) == total
    buried = T.copy()
    buried[2, 3] = TABLE_M + 0.1
    nothing = planner.plan(seen([cube], [T]), [PoseEstimate("cube", buried, 1.0)])
    assert nothing.best_refused is not None and nothing.best_refused.reason is Refusal.COVERED
    assert sum(nothing.refused.values()) == total


def test_no_hand_is_inside_a_wall_of_the_bin_or_its_floor(parts: dict[str, ObjectModel], cube: ObjectModel) -> None:
    camera = Placement(x_m=0.5, z_m=TABLE_M, roll_rad=np.pi)
    bin_ = BinConfig(size_x_m=0.26, size_y_m=0.14, depth_m=0.05, placement=Placement(x_m=0.5))
    everything = {"tries": 10**6, "enough": 10**6, "per_part": 10**6, "most": 10**6, "ranking": LENIENT}
    free = GraspPlanner(parts, PlannerConfig(cell=CellConfig(camera=camera), **everything))
    walled = GraspPlanner(parts, PlannerConfig(cell=CellConfig(bin=bin_, camera=camera), **everything))
    T = on_table(cube, 0.07, 0.045)
    frame, poses = seen([cube], [T]), [PoseEstimate("cube", T, 1.0)]

    def in_wall(grasp: Grasp) -> bool:
        low, high = hand_boxes(CONFIG.gripper, np.array([grasp.width_m]), CONFIG.pregrasp_m)
        hand = [
            trimesh.creation.box(b - a, camera.matrix @ grasp.T_cam_hand @ translation_matrix((a + b) / 2))
            for a, b in zip(low[0], high[0], strict=True)
        ]
        walls = [trimesh.creation.box(2 * half, place) for place, half in zip(*bin_boxes(bin_), strict=True)]
        return any(
            trimesh.boolean.intersection([one, wall], engine="manifold").volume > 1e-9 for one in hand for wall in walls
        )

    before, after = free(frame, poses), walled(frame, poses)
    assert any(in_wall(grasp) for grasp in before)
    assert after and not any(in_wall(grasp) for grasp in after)
    assert walled.plan(frame, poses).refused[Refusal.HITS_BIN] > 0


def test_a_scene_that_moves_as_a_whole_moves_its_grasps(parts: dict[str, ObjectModel], bar: ObjectModel) -> None:
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])  # half a turn of the camera about its axis
    sharp = RankingConfig(cell_error_m=0.0, position_m=0.0, angle_rad=0.0)
    config = PlannerConfig(ranking=sharp, enough=10**6, per_part=10**6, most=10**6)
    planner = GraspPlanner(parts, config)
    T = on_table(bar, 0.03, 0.02)
    frame = seen([bar], [T])
    assert frame.depth_m is not None
    turned = replace(frame, depth_m=np.ascontiguousarray(frame.depth_m[::-1, ::-1]))
    before = planner(frame, [PoseEstimate("bar", T, 0.9)])
    after = planner(turned, [PoseEstimate("bar", turn @ T, 0.9)])
    assert len(before) > 3 and len(after) == pytest.approx(len(before), rel=0.1)
    errors = np.array([[np.abs(turn @ a.T_cam_hand - b.T_cam_hand).max() for b in after] for a in before])
    same = errors.min(axis=1) < 1e-9
    assert same.mean() >= 0.9  # other pixels of the turned image are used, which decides grasps at the margin
    for number in np.flatnonzero(same):
        assert before[number].score == pytest.approx(after[int(errors[number].argmin())].score, abs=0.02)


def test_a_direction_of_the_base_is_one_of_the_camera(planner: GraspPlanner, bar: ObjectModel) -> None:
    """A camera that looks aslant sees grasps that come from above in the base frame."""
    camera = Placement(z_m=0.6, roll_rad=np.pi - 0.4).matrix
    T = on_table(bar)
    frame, poses = seen([bar], [T]), [PoseEstimate("bar", T, 0.9)]
    config = PlannerConfig(down=Direction(0.0, 0.0, -1.0), down_frame="base")
    plan = GraspPlanner({"bar": bar}, config).plan(frame, poses, camera)
    assert plan.grasps
    for grasp in plan.grasps:
        assert (camera @ grasp.T_cam_hand)[2, 2] <= -np.cos(config.cone_rad) + 1e-9
        lifted = camera[:3, :3] @ (grasp.T_cam_retreat - grasp.T_cam_hand)[:3, 3]
        np.testing.assert_allclose(lifted, [0, 0, config.retreat_m], atol=1e-9)
    with pytest.raises(BinposeError, match="down_frame is 'world'; expected camera or base"):
        PlannerConfig(down_frame="world")


def test_an_obstacle_never_raises_a_grasp_that_it_touches(thorough: GraspPlanner, bar: ObjectModel) -> None:
    post = box_part("post", 0.012, 0.012, 0.05)
    T, T_post = on_table(bar), on_table(post, 0.0, 0.021)
    pose = [PoseEstimate("bar", T, 0.9)]
    before = thorough(seen([bar], [T]), pose)
    after = thorough(seen([bar, post], [T, T_post]), pose)
    surface = sample_faces(post.mesh, 20000, np.random.default_rng(0))[0]
    scores = {grasp.T_cam_hand.tobytes(): grasp.score for grasp in after}
    touched = [grasp for grasp in before if hit(grasp, T_post, surface)]
    assert touched
    assert all(scores.get(grasp.T_cam_hand.tobytes(), 0.0) <= grasp.score + 1e-12 for grasp in before)
    assert all(grasp.T_cam_hand.tobytes() not in scores for grasp in touched)


def test_what_holds_for_all_poses_that_the_image_cannot_tell_apart_comes_first(bar: ObjectModel) -> None:
    """The bar may be where it is seen, or shifted along its axis: one of three equal grasps holds for both."""
    places_m = np.array([-0.02, 0.0, 0.02])
    T_obj_hand = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (3, 1, 1))
    T_obj_hand[:, 0, 3] = places_m
    ones = np.ones(3)
    grasps = GraspSet(T_obj_hand, 0.02 * ones, ones, ones, np.zeros((3, 2, 3)), np.zeros(3, np.uint8))
    part, T = replace(bar, grasps=grasps), on_table(bar)
    shifted = T.copy()
    shifted[0, 3] += 0.045
    both = (Hypothesis("bar", T, 0.5), Hypothesis("bar", shifted, 0.5))
    planner = GraspPlanner({"bar": part}, PlannerConfig(ranking=LENIENT))
    frame = seen([bar], [T])
    found = planner(frame, [PoseEstimate("bar", T, 0.5, hypotheses=both)])
    assert [round(float(grasp.T_cam_hand[0, 3]), 3) for grasp in found[:1]] == [0.02]
    assert found[0].factors["hold"] > 0.8 and all(grasp.factors["hold"] < 0.6 for grasp in found[1:])
    alone = planner(frame, [PoseEstimate("bar", T, 0.5)])
    assert np.ptp([grasp.factors["hold"] for grasp in alone]) < 0.1


def test_two_poses_of_one_part_do_not_block_each_other(planner: GraspPlanner, cube: ObjectModel) -> None:
    T = on_table(cube)
    moved = T.copy()
    moved[0, 3] += 0.002
    grasps = planner(seen([cube], [T]), [PoseEstimate("cube", moved, 0.7), PoseEstimate("cube", T, 0.9)])
    assert grasps and {grasp.pose_index for grasp in grasps} == {1}


def test_a_part_in_a_corner_has_a_drag_and_one_in_the_middle_a_grasp(
    parts: dict[str, ObjectModel], bar: ObjectModel
) -> None:
    where = CellConfig(bin=BinConfig(0.3, 0.24, 0.07, placement=Placement(z_m=TABLE_M, roll_rad=np.pi)))
    planner = GraspPlanner(parts, replace(CONFIG, cell=where))
    for x_m, y_m, cornered in ((0.0, 0.0, False), (0.118, 0.108, True)):
        T = on_table(bar, x_m, y_m)
        poses = [PoseEstimate("cube", T, 0.1), PoseEstimate("bar", T, 0.9)]
        plan = planner.plan(seen([bar], [T]), poses)
        assert bool(plan.grasps) != cornered and bool(plan.drags) == cornered, plan.reason
        for drag in plan.drags:
            assert drag.pose_index == 1 and drag.direction @ [-x_m, -y_m, 0.0] > 0


def test_a_sheet_on_the_floor_is_gripped_with_the_finger_tips() -> None:
    """Its edges are lower than what the fingers reach with the middle of their pads."""
    sheet = box_part("sheet", 0.05, 0.04, 0.0035)
    where = CellConfig(bin=BinConfig(0.3, 0.24, 0.045, placement=Placement(z_m=TABLE_M, roll_rad=np.pi)))
    planner = GraspPlanner({"sheet": sheet}, replace(CONFIG, cell=where, search=SearchConfig()))
    T = on_table(sheet)
    (best, *_) = planner(seen([sheet], [T]), [PoseEstimate("sheet", T, 0.99)])
    tips_m = TABLE_M - (best.T_cam_hand[2, 3] + CONFIG.gripper.pad_m * best.T_cam_hand[2, 2])
    assert 0.0005 < tips_m < 0.0025


def test_a_pose_that_is_not_finite_is_refused(planner: GraspPlanner, cube: ObjectModel) -> None:
    T = on_table(cube)
    broken = T.copy()
    broken[0, 0] = np.nan
    with pytest.raises(BinposeError, match="Pose 1 is not finite; expected rigid motions; leave it out"):
        planner(seen([cube], [T]), [PoseEstimate("cube", T, 1.0), PoseEstimate("cube", broken, 1.0)])


@needs_panda
@pytest.mark.parametrize("name", ["fer", "fr3"])
def test_with_an_arm_each_grasp_has_its_path(parts: dict[str, ObjectModel], cube: ObjectModel, name: str) -> None:
    for library in ("frankik", "pinocchio", "coal"):
        pytest.importorskip(library, reason="the extra `robot` is not installed")
    arm = ArmConfig(name=name)
    camera = Placement(x_m=0.5, z_m=TABLE_M, roll_rad=np.pi)
    planner = GraspPlanner(parts, PlannerConfig(arm=arm, cell=CellConfig(camera=camera)))
    T = on_table(cube)
    frame, poses = seen([cube], [T]), [PoseEstimate("cube", T, 1.0)]
    grasps, kinematics = planner(frame, poses), load_arm(arm)
    assert grasps and kinematics is not None
    for grasp in grasps:
        assert grasp.joints is not None
        reached = kinematics.forward(grasp.joints)
        for row, place in (
            (0, grasp.T_cam_pregrasp),
            (grasp.grasp_waypoint, grasp.T_cam_hand),
            (-1, grasp.T_cam_retreat),
        ):
            np.testing.assert_allclose(reached[row], camera.matrix @ place, atol=1e-3)
            assert np.abs(reached[row] - camera.matrix @ place)[:3, 3].max() < 1e-4
    far = Placement(x_m=1.6, z_m=TABLE_M, roll_rad=np.pi).matrix
    plan = planner.plan(frame, poses, far)
    assert plan.grasps == () and "does not reach the grasp within its joint limits (OUT_OF_REACH)" in plan.reason
    assert plan.best_refused is not None and plan.best_refused.reason is Refusal.OUT_OF_REACH


def test_a_frame_without_depth_and_an_unknown_part_are_refused(planner: GraspPlanner, cube: ObjectModel) -> None:
    T = on_table(cube)
    frame, pose = seen([cube], [T]), PoseEstimate("cube", T, 1.0)
    with pytest.raises(BinposeError, match="has no depth"):
        planner(replace(frame, depth_m=None), [pose])
    with pytest.raises(BinposeError, match=r"Poses of teapot; expected some of cube, bar, rod"):
        planner(frame, [replace(pose, object_id="teapot")])
