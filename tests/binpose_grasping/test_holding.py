import numpy as np

from binpose_core.geometry.transforms import exp_se3, from_rotation_translation, inverse, random_rotation
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.holding import holds
from binpose_grasping.robustness import robustness
from binpose_grasping.search_config import ContactConfig, PoseErrorConfig

GRIPPER, CONTACT = GripperConfig(), ContactConfig()
DOWN = np.diag([1.0, -1.0, -1.0, 1.0])


def held(part: ObjectModel, T_obj_hand: np.ndarray, width_m: float) -> bool:
    T = inverse(T_obj_hand)[None, None]
    return bool(holds(T, np.array([width_m]), part.points, part.normals, GRIPPER, CONTACT.cone_rad)[0, 0])


def at(x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0, turn_rad: float = 0.0) -> np.ndarray:
    return np.asarray(exp_se3(np.array([x_m, y_m, z_m, 0, 0, turn_rad])) @ DOWN)


def test_fingers_hold_what_is_between_them_and_not_what_is_beside_or_below(bar: ObjectModel) -> None:
    assert held(bar, at(), 0.02)
    assert held(bar, at(y_m=0.001), 0.02)
    assert not held(bar, at(x_m=0.1), 0.02)
    assert not held(bar, at(z_m=0.05), 0.02)
    assert not held(bar, at(y_m=0.006), 0.02)  # a finger comes down on the part
    assert not held(bar, at(), 0.01)


def test_a_part_that_is_turned_out_of_the_cone_slips(rod: ObjectModel, cube: ObjectModel) -> None:
    wide = GripperConfig(clearance_m=0.01)
    T = inverse(at(turn_rad=0.6))[None, None]
    open_ = holds(T, np.array([0.035]), cube.points, cube.normals, wide, CONTACT.cone_rad)
    assert not open_[0, 0]


def test_a_motion_of_part_and_hand_changes_nothing(rng: np.random.Generator, bar: ObjectModel) -> None:
    motion = from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    points = bar.points @ motion[:3, :3].T + motion[:3, 3]
    normals = bar.normals @ motion[:3, :3].T
    for place in (at(), at(x_m=0.02), at(x_m=0.1), at(y_m=0.006)):
        T = inverse(motion @ place)[None, None]
        moved = holds(T, np.array([0.02]), points, normals, GRIPPER, CONTACT.cone_rad)[0, 0]
        assert moved == held(bar, place, 0.02)


def test_it_agrees_with_the_search_by_rays_and_wrenches(bar: ObjectModel, rng: np.random.Generator) -> None:
    twists = rng.normal(size=(80, 6)) * [0.004, 0.002, 0.004, 0.05, 0.05, 0.1]
    T_obj_hand = exp_se3(twists) @ DOWN
    width = np.full(80, 0.02)
    fast = holds(inverse(T_obj_hand)[:, None], width, bar.points, bar.normals, GRIPPER, CONTACT.cone_rad)[:, 0]
    exact = robustness(bar, T_obj_hand, width, GRIPPER, CONTACT, PoseErrorConfig(samples=1)).quality > 0
    assert 10 < exact.sum() < 78
    assert (fast == exact).mean() > 0.85


def test_many_sampled_poses_together_give_what_each_gives_alone(bar: ObjectModel, rng: np.random.Generator) -> None:
    """Points that no sample brings near the hand are left out."""
    hands = np.stack([at(), at(x_m=0.02), at(y_m=0.004, turn_rad=0.2), at(z_m=0.01)])
    samples = exp_se3(rng.normal(size=(30, 6)) * [0.004, 0.003, 0.004, 0.1, 0.1, 0.2])
    T, width = inverse(hands)[:, None] @ samples[None], np.full(4, 0.02)
    together = holds(T, width, bar.points, bar.normals, GRIPPER, CONTACT.cone_rad)
    alone = [
        holds(T[:, [s]], width, bar.points, bar.normals, GRIPPER, CONTACT.cone_rad)[:, 0] for s in range(len(samples))
    ]
    np.testing.assert_array_equal(together, np.stack(alone, 1))
    assert 10 < together.sum() < together.size - 10
