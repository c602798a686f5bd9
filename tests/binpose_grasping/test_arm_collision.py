import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_grasping.arm import ArmConfig
from binpose_grasping.arm_collision import HAND, ArmCollision, mesh_shape
from binpose_grasping.cell import Boxes
from binpose_grasping.franka_arm import FrankaArm
from binpose_grasping.gripper import GripperConfig, hand_boxes

from .conftest import needs_panda

for library in ("pinocchio", "coal", "frankik"):
    pytest.importorskip(library, reason="the extra `robot` is not installed")
pytestmark = needs_panda
NOTHING = Boxes(np.zeros((0, 4, 4)), np.zeros((0, 3)))
WIDTH_M = 0.03


@pytest.fixture(scope="module")
def arm() -> FrankaArm:
    return FrankaArm(ArmConfig(name="fer"))


@pytest.fixture
def check() -> ArmCollision:
    return ArmCollision(ArmConfig(name="fer"), GripperConfig())


def block(place: np.ndarray, half_m: float = 0.02) -> Boxes:
    return Boxes(from_rotation_translation(np.eye(3), place)[None], np.full((1, 3), half_m))


def ball() -> Mesh:
    sphere = trimesh.creation.icosphere(3, 0.015)
    return Mesh(np.asarray(sphere.vertices, np.float32), np.asarray(sphere.faces, np.int32))


def test_the_arm_at_home_touches_nothing_and_a_folded_arm_touches_itself(check: ArmCollision, arm: FrankaArm) -> None:
    assert not check.collides(arm.home[None], WIDTH_M)
    folded = np.array([0.0, 1.7, 0.0, -3.0, 0.0, 0.1, 0.8])
    assert check.collides(folded[None], WIDTH_M)


def test_a_block_at_the_hand_is_hit_and_one_beside_it_is_not(check: ArmCollision, arm: FrankaArm) -> None:
    T = arm.forward(arm.home[None])[0]
    palm = T[:3, 3] - 0.08 * T[:3, 2]
    check.set_obstacles(block(palm), (), ())
    assert check.collides(arm.home[None], WIDTH_M)
    assert any(first.startswith(HAND) for first, _ in check.touching(arm.home, WIDTH_M))
    check.set_obstacles(block(T[:3, 3] + 0.1 * T[:3, 2]), (), ())
    assert not check.collides(arm.home[None], WIDTH_M)


def test_the_fingers_are_where_they_open_for_the_part(check: ArmCollision, arm: FrankaArm) -> None:
    T = arm.forward(arm.home[None])[0]
    low, high = hand_boxes(GripperConfig(), np.array([WIDTH_M]))
    finger = T[:3, :3] @ ((low[0, 0] + high[0, 0]) / 2) + T[:3, 3]
    finger += 0.01 * T[:3, 2]
    check.set_obstacles(block(finger, 0.002), (), ())
    assert check.collides(arm.home[None], WIDTH_M)
    assert not check.collides(arm.home[None], 0.06)


def test_the_hand_may_touch_the_part_that_it_takes_and_no_other(check: ArmCollision, arm: FrankaArm) -> None:
    T = arm.forward(arm.home[None])[0]
    between = from_rotation_translation(np.eye(3), T[:3, 3] + 0.02 * T[:3, 1])
    far = from_rotation_translation(np.eye(3), [0.0, 0.8, 0.0])
    check.set_obstacles(NOTHING, [mesh_shape(ball())] * 2, [far, between])
    assert check.collides(arm.home[None], WIDTH_M)
    assert not check.collides(arm.home[None], WIDTH_M, held=1)
    assert check.collides(arm.home[None], WIDTH_M, held=0)
    assert check.collides(arm.home[None], WIDTH_M)


def test_the_broad_phase_finds_what_brute_force_finds(
    check: ArmCollision, arm: FrankaArm, rng: np.random.Generator
) -> None:
    boxes = Boxes(
        from_rotation_translation(np.eye(3), rng.uniform([-0.2, -0.6, 0.0], [0.8, 0.6, 0.8], (8, 3))),
        np.full((8, 3), 0.06),
    )
    check.set_obstacles(boxes, [mesh_shape(ball())], [from_rotation_translation(np.eye(3), [0.4, 0.0, 0.3])])
    joints = rng.uniform(arm.lower, arm.upper, (60, 7))
    fast = [check.collides(q[None], WIDTH_M) for q in joints]
    assert 5 < sum(fast) < 58
    assert fast == [bool(check.touching(q, WIDTH_M)) for q in joints]


def test_more_obstacles_never_free_a_configuration(
    check: ArmCollision, arm: FrankaArm, rng: np.random.Generator
) -> None:
    places = from_rotation_translation(np.eye(3), rng.uniform([-0.2, -0.6, 0.0], [0.8, 0.6, 0.8], (6, 3)))
    joints = rng.uniform(arm.lower, arm.upper, (30, 7))
    hits = []
    for count in (2, 6):
        check.set_obstacles(Boxes(places[:count], np.full((count, 3), 0.08)), (), ())
        hits.append(np.array([check.collides(q[None], WIDTH_M) for q in joints]))
    assert (hits[1] | ~hits[0]).all()
