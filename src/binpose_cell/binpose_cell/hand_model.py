"""The hand in MuJoCo with two coupled fingers: a free body that follows a target, or mounted on an arm.

Its frame is that of the gripper: x along the fingers' width, y from finger to finger, z along the approach.
"""

from typing import Any

import numpy as np

from binpose_cell.config import GripConfig
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, quat_xyzw_from_rotation
from binpose_grasping.gripper import GripperConfig
from binpose_simulation.world_model import Surface, add_box

TARGET, HAND, FINGERS = "target", "hand", ("finger_left", "finger_right")
FINGER_KG, MOTOR_KG = 0.1, 0.3
STIFFNESS_N_PER_M = 4000.0
RIGID = [0.99, 0.999, 0.001, 0.5, 2.0]
FOLLOW_S = 0.01
"""Time constant with which the hand follows its target."""


def add_free_hand(mujoco: Any, spec: Any, gripper: GripperConfig, config: GripConfig) -> None:
    """Add a target, and a free hand that follows it."""
    spec.worldbody.add_body(name=TARGET, mocap=True)
    hand = spec.worldbody.add_body(name=HAND, gravcomp=1.0)
    hand.add_freejoint()
    _add_hand(mujoco, spec, hand, gripper, config)
    weld = spec.add_equality(type=mujoco.mjtEq.mjEQ_WELD, name1=TARGET, name2=HAND)
    weld.objtype, weld.data = mujoco.mjtObj.mjOBJ_BODY, _padded([*[0.0] * 6, 1.0, 0.0, 0.0, 0.0, 1.0], weld.data)
    weld.solref, weld.solimp = [FOLLOW_S, 1.0], RIGID


def add_mounted_hand(
    mujoco: Any, spec: Any, link: Any, T_link_hand: FloatArray, gripper: GripperConfig, config: GripConfig
) -> None:
    """Add a hand to the last link of an arm, at T_link_hand (4, 4)."""
    quat = np.roll(quat_xyzw_from_rotation(T_link_hand[:3, :3]), 1)
    hand = link.add_body(name=HAND, gravcomp=1.0, pos=T_link_hand[:3, 3], quat=quat)
    _add_hand(mujoco, spec, hand, gripper, config)


def _add_hand(mujoco: Any, spec: Any, hand: Any, gripper: GripperConfig, config: GripConfig) -> None:
    """Add palm, fingers, and the motors of the fingers."""
    surface = Surface(config.finger_friction, 1.0).of_geometry(config.timestep_s)
    low, high = gripper.boxes(-2 * gripper.clearance_m)  # closed
    for side, name in enumerate(FINGERS):
        finger = hand.add_body(name=name, gravcomp=1.0)
        finger.add_joint(
            name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0.0, 1.0 - 2.0 * side, 0.0],
            range=[0.0, gripper.opening_m / 2], limited=True,
            damping=config.force_n / config.finger_speed_m_s, armature=MOTOR_KG,
            solref_limit=[2.5 * config.timestep_s, 1.0], solimp_limit=RIGID,
        )  # fmt: skip
        _add_solid(mujoco, finger, low[side], high[side], FINGER_KG, surface)
        _add_motor(mujoco, spec, name, config)
    _add_solid(mujoco, hand, low[2], high[2], config.hand_kg, surface)
    spec.add_exclude(bodyname1=FINGERS[0], bodyname2=FINGERS[1])
    for name in FINGERS:
        spec.add_exclude(bodyname1=HAND, bodyname2=name)
    _couple(mujoco, spec)


def _add_solid(mujoco: Any, body: Any, low: Any, high: Any, mass_kg: float, surface: dict[str, Any]) -> None:
    T = from_rotation_translation(np.eye(3), (low + high) / 2)
    add_box(mujoco, body, (T, (high - low) / 2), {**surface, "mass": mass_kg})


def _add_motor(mujoco: Any, spec: Any, joint: str, config: GripConfig) -> None:
    """A motor that moves a finger to a position, with limited force."""
    motor = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_position(kp=STIFFNESS_N_PER_M)
    motor.forcelimited, motor.forcerange = True, [-config.force_n, config.force_n]


def _couple(mujoco: Any, spec: Any) -> None:
    """The fingers move symmetrically."""
    joint = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=FINGERS[0], name2=FINGERS[1])
    joint.objtype, joint.data = mujoco.mjtObj.mjOBJ_JOINT, _padded([0.0, 1.0], joint.data)
    joint.solref, joint.solimp = [0.005, 1.0], RIGID


def _padded(values: list[float], like: Any) -> Any:
    """Zeros after the values: the number of data of a constraint depends on MuJoCo's version."""
    data = np.zeros_like(like)
    data[: len(values)] = values
    return data
