"""Selects what carries the hand."""

from binpose_cell.config import PickingConfig
from binpose_cell.hand_carrier import FreeHand, HandCarrier
from binpose_core.geometry.transforms import inverse
from binpose_grasping.arm import load_arm


def hand_carrier(config: PickingConfig) -> HandCarrier:
    """The arm of the configuration, or a free hand for the arm "none".

    Raises:
        BinposeError: if a library or the description of the arm is missing.
    """
    arm = load_arm(config.arm)
    if arm is None:
        return FreeHand()
    from binpose_cell.carrying_arm import CarryingArm
    from binpose_grasping.arm_links import arm_body

    return CarryingArm(arm, arm_body(config.arm), config.arm, inverse(config.bin.matrix), config.drive)
