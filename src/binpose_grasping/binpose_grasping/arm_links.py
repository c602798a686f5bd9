"""The links of an arm as a simulation of its physics needs them: joints, masses and convex shapes, by Pinocchio."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.arm import ArmConfig
from binpose_grasping.arm_collision import chain, description, is_behind, link_shapes
from binpose_grasping.urdf_arm import pinocchio

REVOLUTE = ("JointModelRX", "JointModelRY", "JointModelRZ", "JointModelRevoluteUnaligned")
LEAST_KG, LEAST_KG_M2 = 0.01, 1e-5
"""Of links whose URDF states no mass."""


@dataclass(frozen=True, eq=False)
class ArmLink:
    """A link and the revolute joint that moves it.

    name: of the joint. T_parent_link: (4, 4) at angle 0. axis: (3,) of the joint. lower_rad, upper_rad: its limits.
    torque_nm, speed_rad_s: the largest ones. mass_kg, center_m: (3,). inertia_kg_m2: (3, 3) about the centre of mass.
    hulls: vertices (V, 3) of convex shapes in the link's frame.
    """

    name: str
    T_parent_link: FloatArray
    axis: FloatArray
    lower_rad: float
    upper_rad: float
    torque_nm: float
    speed_rad_s: float
    mass_kg: float
    center_m: FloatArray
    inertia_kg_m2: FloatArray
    hulls: tuple[FloatArray, ...]


@dataclass(frozen=True, eq=False)
class ArmBody:
    """An arm without its hand.

    links: J, from the base on; each one's parent is the one before. base_hulls: vertices (V, 3) in the base frame.
    T_last_tcp: (4, 4) of the hand's tool centre point in the last link.
    """

    links: tuple[ArmLink, ...]
    base_hulls: tuple[FloatArray, ...]
    T_last_tcp: FloatArray


def arm_body(config: ArmConfig) -> ArmBody:
    """The links of an arm, up to its hand frame.

    Raises:
        BinposeError: if a library or the arm's description is missing, or a joint is not revolute.
    """
    pin = pinocchio()
    path, base, tip = description(config)
    model = chain(pin, str(path), tip)
    data = model.createData()
    pin.framesForwardKinematics(model, data, pin.neutral(model))
    T_base_world = data.oMf[model.getFrameId(base)].inverse().homogeneous
    hulls: dict[int, list[FloatArray]] = {}
    for shape in link_shapes(pin, model, path, tip):
        T = shape.placement.homogeneous
        points = np.asarray(shape.geometry.points(), np.float64) @ T[:3, :3].T + T[:3, 3]
        hulls.setdefault(shape.parentJoint, []).append(points)
    links = [_link(pin, model, number, path, tip, hulls.get(number, [])) for number in range(1, model.njoints)]
    first = links[0]
    links[0] = ArmLink(**{**vars(first), "T_parent_link": T_base_world @ first.T_parent_link})
    T_last_tcp = model.frames[model.getFrameId(tip)].placement.homogeneous @ config.tcp.matrix
    on_base = tuple(points @ T_base_world[:3, :3].T + T_base_world[:3, 3] for points in hulls.get(0, []))
    return ArmBody(tuple(links), on_base, T_last_tcp)


def _link(pin: Any, model: Any, number: int, path: Path, tip: str, hulls: list[FloatArray]) -> ArmLink:
    joint, index = model.joints[number], model.joints[number].idx_v
    if joint.shortname() not in REVOLUTE:
        raise BinposeError(
            f"The joint {model.names[number]} of {path} is a {joint.shortname()}; expected revolute joints with "
            "limits; choose another arm."
        )
    axis = _axis(pin, model, number)
    mass_kg, center_m, inertia = _mass(pin, model, number, path, tip)
    return ArmLink(
        str(model.names[number]),
        model.jointPlacements[number].homogeneous,
        axis,
        float(model.lowerPositionLimit[joint.idx_q]),
        float(model.upperPositionLimit[joint.idx_q]),
        float(model.effortLimit[index]),
        float(model.velocityLimit[index]),
        mass_kg,
        center_m,
        inertia,
        tuple(hulls),
    )


def _axis(pin: Any, model: Any, number: int) -> FloatArray:
    """(3,) axis of a revolute joint in its own frame: a quarter turn leaves it where it is."""
    q = pin.neutral(model)
    q[model.joints[number].idx_q] = np.pi / 2
    data = model.createData()
    pin.forwardKinematics(model, data, q)
    R = model.jointPlacements[number].rotation.T @ data.liMi[number].rotation
    return np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2


def _mass(pin: Any, model: Any, number: int, path: Path, tip: str) -> tuple[float, FloatArray, FloatArray]:
    """Mass, centre and inertia of a link, without what the URDF mounts on the hand frame."""
    full = pin.buildModelFromUrdf(str(path))
    joint = full.getJointId(model.names[number])
    parameters = full.inertias[joint].toDynamicParameters()
    for index, frame in enumerate(full.frames):
        if frame.parentJoint == joint and is_behind(full, index, tip):
            parameters = parameters - frame.placement.act(frame.inertia).toDynamicParameters()
    mass_kg = float(parameters[0])
    if mass_kg < LEAST_KG:
        return LEAST_KG, np.zeros(3), LEAST_KG_M2 * np.eye(3)
    found = pin.Inertia.FromDynamicParameters(parameters)
    values, vectors = np.linalg.eigh(np.asarray(found.inertia))
    inertia = vectors @ np.diag(_possible(values)) @ vectors.T
    return mass_kg, np.asarray(found.lever, np.float64), inertia


def _possible(principal: FloatArray) -> FloatArray:
    """Principal moments (3,), ascending, that a body can have: positive, none larger than the sum of the others."""
    small, middle, large = np.maximum(principal, LEAST_KG_M2)
    return np.array([small, max(middle, large - small), large])
