"""Defaults of the simulated cell."""

from dataclasses import dataclass, field

from binpose_core.base.settings import about, check_bounds, setting
from binpose_grasping.arm import ArmConfig
from binpose_grasping.cell import Placement

SPEED_M_S = (0.001, 5.0)


@dataclass(frozen=True)
class GripConfig:
    """Physics of the parts and of the hand.

    timestep_s: of the integration.
    part_friction: sliding friction of parts and bin.
    finger_friction: sliding friction of the finger pads; the larger one of finger and part counts.
    force_n: force of each finger.
    finger_speed_m_s: speed of each finger in free motion.
    impratio: stiffness of friction relative to that of the normal force; a low one lets gripped parts creep.
    noslip_iterations: of the solver that removes the remaining creep.
    density_kg_m3: of the parts.
    hand_kg: mass of the hand without its fingers; its weight is compensated.
    """

    timestep_s: float = setting(0.002, bounds=(1e-5, 0.004))
    part_friction: float = setting(0.4, bounds=(0.01, 2.0))
    finger_friction: float = setting(0.6, bounds=(0.01, 2.0))
    force_n: float = setting(20.0, bounds=(0.1, 500.0))
    finger_speed_m_s: float = setting(0.1, bounds=SPEED_M_S)
    impratio: float = setting(10.0, bounds=(1.0, 1000.0))
    noslip_iterations: int = setting(4, bounds=(0, 100))
    density_kg_m3: float = setting(2700.0, bounds=(10.0, 25000.0))
    hand_kg: float = setting(0.7, bounds=(0.01, 20.0))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class MotionConfig:
    """Motions of the hand, each along a straight line.

    approach_m_s: largest speed of the approach.
    lift_m_s: largest speed of the lift.
    carry_m_s: largest speed with the part, and without it on the way back.
    clear_m: height of the hand above the rim after the lift.
    shake_m: amplitude of the shaking along each axis.
    shake_hz: its frequency.
    shakes: oscillations along each axis.
    """

    approach_m_s: float = setting(0.25, bounds=SPEED_M_S)
    lift_m_s: float = setting(0.6, bounds=SPEED_M_S)
    carry_m_s: float = setting(1.2, bounds=SPEED_M_S)
    clear_m: float = setting(0.1, bounds=(0.0, 1.0))
    shake_m: float = setting(0.01, bounds=(0.0, 0.1))
    shake_hz: float = setting(5.0, bounds=(0.1, 50.0))
    shakes: int = setting(2, bounds=(0, 100))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class DragMotionConfig:
    """Motion of the closed hand that drags a part.

    most: drags in a row, without a pick between them that succeeds; 0 = none.
    press_m_s: speed of the hand that is lowered onto the part.
    drag_m_s: largest speed of the drag.
    press_m: how far the target is lowered below the contact: the hand is compliant, so that this is a force.
    search_m: how far the hand is lowered below the expected contact.
    """

    most: int = setting(6, bounds=(0, 1000))
    press_m_s: float = setting(0.03, bounds=SPEED_M_S)
    drag_m_s: float = setting(0.15, bounds=SPEED_M_S)
    press_m: float = setting(0.001, bounds=(0.0, 0.05))
    search_m: float = setting(0.006, bounds=(0.0, 0.1))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class DriveConfig:
    """Motors of an arm's joints.

    stiffness_per_rad: torque per radian of error, relative to the joint's largest torque.
    lag_s: time constant with which a joint removes an error.
    """

    stiffness_per_rad: float = setting(50.0, bounds=(1.0, 1000.0))
    lag_s: float = setting(0.05, bounds=(0.001, 1.0))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class PickingConfig:
    """How a bin is emptied, and what counts as success.

    grip: physics.
    motion: of the hand.
    drag: of parts without a probable grasp.
    arm: that carries the hand; "none" for a hand that flies freely.
    drive: of the arm's joints.
    bin: placement of the bin in the frame of the arm's base.
    tries_per_part: the number of tries is at most this many times the number of parts.
    looks: number of images that are taken of the same parts before no grasp is left: the noise differs.
    repeated_m: after a failed try, grasps this close to it wait until a pick succeeds.
    slip_m: largest motion of the part in the hand between closing and placing.
    collision_m: deepest overlap of the approaching hand with bin or parts that does not count as a collision.
    """

    grip: GripConfig = field(default_factory=GripConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    drag: DragMotionConfig = field(default_factory=DragMotionConfig)
    arm: ArmConfig = field(default_factory=ArmConfig)
    drive: DriveConfig = field(default_factory=DriveConfig)
    bin: Placement = field(
        default_factory=lambda: Placement(x_m=0.5, y_m=0.1), metadata=about("the bin's floor in the base frame")
    )
    tries_per_part: int = setting(2, bounds=(1, 100))
    looks: int = setting(3, bounds=(1, 100))
    repeated_m: float = setting(0.005, bounds=(0.0, 0.1))
    slip_m: float = setting(0.015, bounds=(0.0, 0.2))
    collision_m: float = setting(0.001, bounds=(0.0, 0.1))

    def __post_init__(self) -> None:
        check_bounds(self)
