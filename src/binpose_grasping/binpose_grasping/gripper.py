"""A parallel gripper, and the room that it takes.

The hand's frame is that of its tool centre point, in the middle between the pads: x along the fingers' width, y from
finger to finger, z the way in which the hand approaches.
"""

from dataclasses import dataclass

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
from binpose_core.geometry.transforms import FloatArray

SIZE_M = (0.001, 1.0)
LATTICE = (5, 3, 12)  # points of each finger along x, y and z: about 5 mm apart


@dataclass(frozen=True)
class GripperConfig:
    """What of a parallel gripper matters; the defaults are those of the Franka hand.

    opening_m: largest distance between the fingers.
    least_width_m: thinnest part that is gripped.
    finger_width_m: size of each finger across the closing direction.
    finger_thickness_m: size of each finger along the closing direction.
    finger_length_m: from the palm to the tool centre point.
    pad_m: how far the fingers reach beyond the tool centre point.
    palm_width_m: size of the hand behind the fingers along their width.
    palm_span_m: size of the hand behind the fingers along the closing direction.
    palm_height_m: size of the hand behind the fingers along the approach.
    clearance_m: between the part and each finger before they close.
    """

    opening_m: float = setting(0.08, bounds=SIZE_M)
    least_width_m: float = setting(0.001, bounds=(0.0, 1.0))
    finger_width_m: float = setting(0.02, bounds=SIZE_M)
    finger_thickness_m: float = setting(0.01, bounds=SIZE_M)
    finger_length_m: float = setting(0.045, bounds=SIZE_M)
    pad_m: float = setting(0.008, bounds=(0.0, 0.1))
    palm_width_m: float = setting(0.063, bounds=SIZE_M)
    palm_span_m: float = setting(0.204, bounds=SIZE_M)
    palm_height_m: float = setting(0.066, bounds=(0.0, 1.0))
    clearance_m: float = setting(0.003, bounds=(0.0, 0.1))

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.least_width_m + 2 * self.clearance_m >= self.opening_m:
            raise BinposeError(
                f"A gripper that opens by {self.opening_m} m for parts from {self.least_width_m} m on, with "
                f"{self.clearance_m} m beside each finger: expected a part to fit; make opening_m larger or the others "
                "smaller."
            )

    @property
    def reach_m(self) -> float:
        """From the tool centre point to the farthest corner of the hand with its fingers wide open."""
        half_y = max(self.palm_span_m, self.opening_m + 2 * self.finger_thickness_m) / 2
        half_x = max(self.palm_width_m, self.finger_width_m) / 2
        return float(np.linalg.norm([half_x, half_y, self.finger_length_m + self.palm_height_m]))


def hand_boxes(gripper: GripperConfig, width_m: FloatArray, way_m: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """What the open hand fills on its way to the grasps: finger, finger, palm.

    Args:
        gripper: the hand.
        width_m: (N,) of what is gripped; the fingers stand wider by the clearance on both sides.
        way_m: length of the straight way on which the hand comes.

    Returns:
        Lower and upper corners (N, 3, 3) of the boxes in the hand's frame, metres.
    """
    inner = width_m / 2 + gripper.clearance_m
    outer = inner + gripper.finger_thickness_m
    half_x = np.full_like(inner, gripper.finger_width_m / 2)
    back = np.full_like(inner, -gripper.finger_length_m - way_m)
    tip = np.full_like(inner, gripper.pad_m)
    palm_low, palm_high = _palm(gripper, len(inner), way_m)
    low = [np.stack([-half_x, inner, back], -1), np.stack([-half_x, -outer, back], -1), palm_low]
    high = [np.stack([half_x, outer, tip], -1), np.stack([half_x, -inner, tip], -1), palm_high]
    return np.stack(low, 1), np.stack(high, 1)


def swept_boxes(gripper: GripperConfig, width_m: FloatArray, way_m: float) -> tuple[FloatArray, FloatArray]:
    """As `hand_boxes`, with all that lies between the fingers too: lower and upper corners (N, 2, 3).

    Nothing but the part may be there: the fingers would close on it as well.
    """
    low, high = hand_boxes(gripper, width_m, way_m)
    between_low, between_high = low[:, 1], high[:, 0]
    return np.stack([between_low, low[:, 2]], 1), np.stack([between_high, high[:, 2]], 1)


def finger_points(gripper: GripperConfig, width_m: FloatArray) -> FloatArray:
    """Points (N, K, 3) all over the open fingers, in the hand's frame, metres; arguments as of `hand_boxes`."""
    low, high = (corners[:, :2, None] for corners in hand_boxes(gripper, width_m))
    steps = (np.linspace(0, 1, number) for number in LATTICE)
    share = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    points: FloatArray = (low + share * (high - low)).reshape(len(width_m), 2 * len(share), 3)
    return points


def _palm(gripper: GripperConfig, number: int, way_m: float) -> tuple[FloatArray, FloatArray]:
    half = np.array([gripper.palm_width_m / 2, gripper.palm_span_m / 2])
    low = np.array([*-half, -gripper.finger_length_m - gripper.palm_height_m - way_m])
    high = np.array([*half, -gripper.finger_length_m])
    return np.tile(low, (number, 1)), np.tile(high, (number, 1))
