"""A parallel gripper and its collision geometry.

The hand's frame is at its tool centre point, midway between the pads: x along the fingers' width, y from finger to
finger, z along the approach.
"""

from dataclasses import dataclass

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import check_bounds, setting
from binpose_core.geometry.transforms import FloatArray

SIZE_M = (0.001, 1.0)
LATTICE = (5, 5, 12)  # points of each finger along x, y and z: about 5 mm apart


@dataclass(frozen=True)
class GripperConfig:
    """Dimensions of a parallel gripper; the defaults are those of the Franka hand.

    opening_m: largest distance between the fingers.
    least_width_m: thinnest part that can be gripped.
    finger_width_m: size of each finger across the closing direction.
    finger_thickness_m: size of each finger along the closing direction.
    finger_length_m: from the palm to the tool centre point.
    pad_m: length of the fingers beyond the tool centre point.
    palm_width_m: size of the hand behind the fingers along their width.
    palm_span_m: size of the hand behind the fingers along the closing direction.
    palm_height_m: size of the hand behind the fingers along the approach.
    clearance_m: gap between the part and each finger before they close.
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

    def boxes(self, width_m: float) -> tuple[FloatArray, FloatArray]:
        """Lower and upper corners (3, 3) of finger, finger and palm, open for a width."""
        low, high = hand_boxes(self, np.array([width_m]))
        return low[0], high[0]

    @property
    def reach_m(self) -> float:
        """Distance from the tool centre point to the farthest corner of the open hand."""
        half_y = max(self.palm_span_m, self.opening_m + 2 * self.finger_thickness_m) / 2
        half_x = max(self.palm_width_m, self.finger_width_m) / 2
        return float(np.linalg.norm([half_x, half_y, self.finger_length_m + self.palm_height_m]))


def hand_boxes(gripper: GripperConfig, width_m: FloatArray, way_m: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """The volume of the open hand along its approach: finger, finger, palm.

    Args:
        gripper: the hand.
        width_m: (N,) widths of the grasps; the fingers open wider by the clearance on both sides.
        way_m: length of the straight approach.

    Returns:
        Lower and upper corners (N, 3, 3) of the boxes in the hand's frame, metres.
    """
    count = len(width_m)
    inner = width_m / 2 + gripper.clearance_m
    low, high = np.empty((count, 3, 3)), np.empty((count, 3, 3))
    half_x, palm_x, palm_y = gripper.finger_width_m / 2, gripper.palm_width_m / 2, gripper.palm_span_m / 2
    low[:, :2, 0], high[:, :2, 0] = -half_x, half_x
    low[:, 0, 1], high[:, 0, 1] = inner, inner + gripper.finger_thickness_m
    low[:, 1, 1], high[:, 1, 1] = -high[:, 0, 1], -inner
    low[:, :2, 2], high[:, :2, 2] = -gripper.finger_length_m - way_m, gripper.pad_m
    low[:, 2] = -palm_x, -palm_y, -gripper.finger_length_m - gripper.palm_height_m - way_m
    high[:, 2] = palm_x, palm_y, -gripper.finger_length_m
    return low, high


def swept_boxes(gripper: GripperConfig, width_m: FloatArray, way_m: float) -> tuple[FloatArray, FloatArray]:
    """Like `hand_boxes`, including the volume between the fingers: lower and upper corners (N, 2, 3).

    It must contain only the part, because the fingers close on everything in it.
    """
    low, high = hand_boxes(gripper, width_m, way_m)
    between_low, between_high = low[:, 1], high[:, 0]
    return np.stack([between_low, low[:, 2]], 1), np.stack([between_high, high[:, 2]], 1)


def grown(low: FloatArray, high: FloatArray, by_m: float) -> tuple[FloatArray, FloatArray]:
    """Boxes that are larger by a margin on all sides."""
    return low - by_m, high + by_m


def box_corners(low: FloatArray, high: FloatArray) -> FloatArray:
    """(..., 8, 3) the corners of boxes from their lower and upper ones (..., 3); x changes fastest."""
    fractions = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)[:, ::-1]
    return np.asarray(low[..., None, :] + fractions * (high - low)[..., None, :])


def finger_points(gripper: GripperConfig, width_m: FloatArray, margin_m: float = 0.0) -> FloatArray:
    """Points (N, K, 3) distributed over the open fingers with a margin, in the hand's frame; else as `hand_boxes`."""
    low, high = (corners[:, :2, None] for corners in grown(*hand_boxes(gripper, width_m), margin_m))
    steps = (np.linspace(0, 1, number) for number in LATTICE)
    fractions = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    points: FloatArray = (low + fractions * (high - low)).reshape(len(width_m), 2 * len(fractions), 3)
    return points
