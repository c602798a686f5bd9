"""Drags lead parts away from walls and neighbours, and press on nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.types import Drag, PoseEstimate
from binpose_core.geometry.transforms import from_rotation_translation, inverse, random_rotation
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.cell import BinConfig, Placement
from binpose_grasping.drags import DragConfig, find_drags
from binpose_grasping.gripper import GripperConfig

BIN = BinConfig(0.3, 0.2, 0.05)
CLOSED, CONFIG = GripperConfig(), DragConfig()
NOTHING = np.zeros((0, 3))
ABOVE = from_rotation_translation(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 0.5]))
"""T_base_cam of a camera above the bin."""


def lying(part: ObjectModel, x_m: float, y_m: float, z_m: float = 0.0, score: float = 0.9) -> PoseEstimate:
    """A pose in the camera frame of a part on the floor, or at a height above it."""
    T = np.eye(4)
    T[:3, 3] = x_m, y_m, z_m + part.box_size_m[2] / 2
    return PoseEstimate(part.id, inverse(ABOVE) @ T, score)


def drags_of(
    parts: dict[str, ObjectModel], *poses: PoseEstimate, where: BinConfig = BIN, observed: np.ndarray = NOTHING
) -> list[Drag]:
    """The drags in the frame of the base."""
    return [drag.moved(ABOVE) for drag in find_drags(poses, parts, where, ABOVE, CLOSED, observed)]


@pytest.mark.parametrize(("x_m", "y_m", "away"), [(0.134, 0.0, (-1, 0)), (0.0, -0.084, (0, 1)), (-0.134, 0.0, (1, 0))])
def test_a_part_at_a_wall_is_dragged_away_from_it(
    parts: dict[str, ObjectModel], x_m: float, y_m: float, away: tuple[int, int]
) -> None:
    (drag,) = drags_of(parts, lying(parts["cube"], x_m, y_m))
    assert drag.direction @ [*away, 0.0] > 0.9 and drag.direction[2] == pytest.approx(0.0, abs=1e-12)
    assert drag.length_m == CONFIG.length_m


def test_the_closed_finger_tips_touch_the_top_of_the_part(parts: dict[str, ObjectModel]) -> None:
    cube = parts["cube"]
    (drag,) = drags_of(parts, lying(cube, 0.13, 0.02))
    tips_m = drag.T_cam_hand[:3, 3] + CLOSED.pad_m * drag.T_cam_hand[:3, 2]
    np.testing.assert_allclose(drag.T_cam_hand[:3, 2], [0, 0, -1], atol=1e-12)
    assert tips_m[2] == pytest.approx(cube.box_size_m[2], abs=1e-3)
    assert np.abs(tips_m[:2] - [0.13, 0.02]).max() < 0.006


def test_part_and_fingers_stay_inside_the_bin(parts: dict[str, ObjectModel], rng: np.random.Generator) -> None:
    half = np.array([BIN.size_x_m, BIN.size_y_m]) / 2
    reach = CLOSED.finger_width_m / 2
    found = 0
    for _ in range(30):
        turn = rng.uniform(0, 2 * np.pi)
        T = np.eye(4)
        T[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        T[:3, 3] = *rng.uniform(-1, 1, 2) * [0.12, 0.07], 0.0125
        bar = parts["bar"]
        for drag in drags_of(parts, PoseEstimate("bar", inverse(ABOVE) @ T, 0.9)):
            found += 1
            way = drag.length_m * drag.direction[:2]
            own = bar.points @ T[:3, :3].T + T[:3, 3]
            assert (np.abs(own[:, :2] + way) <= half + 1e-9).all()
            assert (np.abs(drag.T_cam_hand[:2, 3] + way) + reach <= half + 1e-9).all()
    assert found > 5


def test_neighbours_are_left_behind(parts: dict[str, ObjectModel]) -> None:
    one, other = drags_of(parts, lying(parts["cube"], 0.0, 0.0), lying(parts["cube"], 0.032, 0.0, score=0.8))
    assert one.direction[0] < -0.9 and other.direction[0] > 0.9
    assert (one.pose_index, other.pose_index) == (0, 1)


def test_a_covered_part_is_not_pressed_through_what_lies_on_it(parts: dict[str, ObjectModel]) -> None:
    below, on = lying(parts["cube"], 0.11, 0.0), lying(parts["bar"], 0.11, 0.0, z_m=0.03, score=0.8)
    assert [drag.object_id for drag in drags_of(parts, below, on)] == ["bar"]


def test_something_unknown_above_the_part_is_left_alone(parts: dict[str, ObjectModel]) -> None:
    pose = lying(parts["cube"], 0.12, 0.0)
    grid = np.stack(np.meshgrid(*[np.linspace(-0.02, 0.02, 20)] * 2), -1).reshape(-1, 2) + np.array([0.12, 0.0])

    def seen_at(height_m: float) -> np.ndarray:
        points = np.concatenate([grid, np.full((len(grid), 1), height_m)], 1)
        return points @ inverse(ABOVE)[:3, :3].T + inverse(ABOVE)[:3, 3]

    assert drags_of(parts, pose, observed=seen_at(0.031)), "the part itself, with noise"
    assert not drags_of(parts, pose, observed=seen_at(0.045))


def test_in_a_deep_bin_the_palm_stays_between_the_walls(parts: dict[str, ObjectModel]) -> None:
    deep = replace(BIN, size_x_m=0.4, size_y_m=0.3, depth_m=0.12)
    half = np.array([deep.size_x_m, deep.size_y_m]) / 2
    assert not drags_of(parts, lying(parts["cube"], 0.184, 0.0), where=deep), "the palm would hit the wall"
    (drag,) = drags_of(parts, lying(parts["cube"], 0.16, 0.0), where=deep)
    closing, across = np.abs(drag.T_cam_hand[:2, 1]), np.abs(drag.T_cam_hand[:2, 0])
    palm = closing * CLOSED.palm_span_m / 2 + across * CLOSED.palm_width_m / 2
    for way in (0.0, drag.length_m):
        assert (np.abs(drag.T_cam_hand[:2, 3] + way * drag.direction[:2]) + palm <= half + 1e-9).all()


def test_a_part_that_nothing_is_near_stays_where_it_is(parts: dict[str, ObjectModel]) -> None:
    assert not drags_of(parts, lying(parts["cube"], 0.0, 0.0))
    assert not drags_of(parts, lying(parts["bar"], 0.05, 0.02))


def test_without_a_bin_or_without_room_there_is_none(parts: dict[str, ObjectModel]) -> None:
    pose = lying(parts["bar"], 0.0, 0.0)
    assert not drags_of(parts, pose, where=BinConfig())
    assert not drags_of(parts, pose, where=BinConfig(0.062, 0.026, 0.05))
    assert not drags_of(parts)


def test_the_frame_of_the_camera_does_not_matter(parts: dict[str, ObjectModel], rng: np.random.Generator) -> None:
    poses = [lying(parts["bar"], 0.1, 0.06), lying(parts["cube"], -0.1, -0.07, score=0.8)]
    T_base_bin = Placement(0.4, -0.2, 0.1, yaw_rad=0.7)
    moved = replace(BIN, placement=T_base_bin)
    T_cam_new = from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    same = [replace(pose, T_cam_obj=inverse(T_cam_new) @ pose.T_cam_obj) for pose in poses]
    found = find_drags(same, parts, moved, T_base_bin.matrix @ ABOVE @ T_cam_new, CLOSED, NOTHING)
    expected = find_drags(poses, parts, BIN, ABOVE, CLOSED, NOTHING)
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.moved(T_cam_new).T_cam_hand, other.T_cam_hand, atol=1e-9)
        np.testing.assert_allclose(one.moved(T_cam_new).direction, other.direction, atol=1e-9)
        assert one.length_m == pytest.approx(other.length_m)
