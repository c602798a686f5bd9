"""An arm in MuJoCo, made of its URDF when it is needed: links with their masses and convex shapes, and joint motors.

Gravity of the links is compensated, as the controllers of arms do. A motor pulls its joint to a target by stiffness and
damping, with limited torque. The target is ahead of the wanted position by the damping's lag, so that a joint follows
with its speed.
"""

from typing import Any

import numpy as np

from binpose_cell.config import DriveConfig
from binpose_core.geometry.transforms import FloatArray, quat_xyzw_from_rotation
from binpose_grasping.arm_collision import NEIGHBOURS
from binpose_grasping.arm_links import ArmBody, ArmLink

BASE, LINK, ARMATURE_KG_M2 = "arm_base", "arm_link", 0.1


def add_arm(
    mujoco: Any, spec: Any, arm: ArmBody, T_world_base: FloatArray, drive: DriveConfig, surface: dict[str, Any]
) -> Any:
    """Add an arm and its motors; returns the body of the last link.

    Args:
        mujoco: the library.
        spec: the MjSpec.
        arm: its links.
        T_world_base: (4, 4) of its base.
        drive: stiffness and damping of the joints.
        surface: of the links, from `Surface.of_geometry`.
    """
    spec.compiler.degree = False
    body = spec.worldbody.add_body(name=BASE, **_place(T_world_base))
    _add_hulls(mujoco, spec, body, BASE, arm.base_hulls, surface)
    for number, link in enumerate(arm.links, start=1):
        name = link_name(number)
        body = body.add_body(name=name, gravcomp=1.0, **_place(link.T_parent_link))
        _set_mass(body, link)
        body.add_joint(
            name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=link.axis, range=[link.lower_rad, link.upper_rad],
            limited=True, armature=ARMATURE_KG_M2,
        )  # fmt: skip
        _add_hulls(mujoco, spec, body, name, link.hulls, surface)
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        stiffness = drive.stiffness_per_rad * link.torque_nm
        motor.set_to_position(kp=stiffness, kv=stiffness * drive.lag_s)
        motor.forcelimited, motor.forcerange = True, [-link.torque_nm, link.torque_nm]
    return body


def link_name(number: int) -> str:
    """Name of the body, joint and motor of a link; the base has the number 0."""
    return f"{LINK}{number}" if number else BASE


def exclude_neighbours(spec: Any, links: int, hand: tuple[str, ...]) -> None:
    """Do not check links against each other that have few joints between them; the hand counts as the last link."""
    members = [(link_name(number), number) for number in range(links + 1)] + [(name, links) for name in hand]
    for first, (name, number) in enumerate(members):
        for other, place in members[first + 1 :]:
            both_of_hand = name in hand and other in hand
            if abs(place - number) <= NEIGHBOURS and not both_of_hand:
                spec.add_exclude(bodyname1=name, bodyname2=other)


def _place(T: FloatArray) -> dict[str, Any]:
    return {"pos": T[:3, 3], "quat": np.roll(quat_xyzw_from_rotation(T[:3, :3]), 1)}


def _set_mass(body: Any, link: ArmLink) -> None:
    inertia = link.inertia_kg_m2
    body.explicitinertial, body.mass, body.ipos = True, link.mass_kg, link.center_m
    body.fullinertia = [inertia[0, 0], inertia[1, 1], inertia[2, 2], inertia[0, 1], inertia[0, 2], inertia[1, 2]]


def _add_hulls(
    mujoco: Any, spec: Any, body: Any, name: str, hulls: tuple[FloatArray, ...], surface: dict[str, Any]
) -> None:
    for number, points in enumerate(hulls):
        mesh = f"{name}_{number}"
        spec.add_mesh(name=mesh, uservert=points.ravel())
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh, **surface)
