import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_grasping.gripper import GripperConfig, finger_points, hand_boxes, swept_boxes

WIDTH_M = np.array([0.02, 0.05])


@pytest.mark.parametrize(
    ("field", "value"),
    [("opening_m", 0.0), ("finger_length_m", -0.01), ("clearance_m", 1.0), ("pad_m", -0.1)],
)
def test_a_gripper_that_cannot_be_is_refused(field: str, value: float) -> None:
    with pytest.raises(BinposeError, match=f"{field} is {value}; expected"):
        GripperConfig(**{field: value})


def test_a_gripper_that_nothing_fits_into_is_refused() -> None:
    with pytest.raises(BinposeError, match="expected a part to fit"):
        GripperConfig(opening_m=0.01, least_width_m=0.004, clearance_m=0.003)


def test_the_fingers_leave_room_for_the_part_and_mirror_each_other() -> None:
    gripper = GripperConfig()
    low, high = hand_boxes(gripper, WIDTH_M)
    assert (low < high).all()
    np.testing.assert_allclose(low[:, 0, 1], WIDTH_M / 2 + gripper.clearance_m)
    np.testing.assert_allclose(low[:, 1, 1], -high[:, 0, 1])
    np.testing.assert_allclose(high[:, 1, 1], -low[:, 0, 1])
    np.testing.assert_allclose(high[:, 2, 2], -gripper.finger_length_m)
    np.testing.assert_allclose(high[:, :2, 2], gripper.pad_m)


def test_swept_boxes_hold_the_hand_at_every_point_of_its_way() -> None:
    gripper, way_m = GripperConfig(), 0.07
    corners = np.stack(hand_boxes(gripper, WIDTH_M), -1)
    low, high = swept_boxes(gripper, WIDTH_M, way_m)
    for back_m in (0.0, way_m / 2, way_m):
        moved = corners - np.array([0, 0, back_m])[:, None]
        inside = (moved[:, :, None, :, :] >= low[:, None, :, :, None] - 1e-12) & (
            moved[:, :, None, :, :] <= high[:, None, :, :, None] + 1e-12
        )
        assert inside.all(axis=(-1, -2)).any(axis=-1).all()


def test_no_corner_of_the_open_hand_is_out_of_its_reach() -> None:
    gripper = GripperConfig()
    low, high = hand_boxes(gripper, np.array([gripper.opening_m - 2 * gripper.clearance_m]))
    assert np.linalg.norm(np.maximum(-low, high), axis=-1).max() <= gripper.reach_m + 1e-12


def test_the_points_of_the_fingers_fill_them_and_lie_close() -> None:
    points = finger_points(gripper := GripperConfig(), WIDTH_M)
    low, high = (corners[:, :2] for corners in hand_boxes(gripper, WIDTH_M))
    np.testing.assert_allclose(points.min(axis=1), low.min(axis=1))
    np.testing.assert_allclose(points.max(axis=1), high.max(axis=1))
    inside = (points[:, :, None] >= low[:, None] - 1e-12) & (points[:, :, None] <= high[:, None] + 1e-12)
    assert inside.all(axis=-1).any(axis=-1).all()
    gaps = np.linalg.norm(points[0, :, None] - points[0], axis=-1) + np.eye(points.shape[1])
    assert gaps.min(axis=1).max() <= 0.0051
