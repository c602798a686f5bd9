"""Antipodal grasps of a part from its mesh alone: two contacts that face each other within the friction cone."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from binpose_core.base.settings import check_bounds, setting
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse
from binpose_core.meshes.mesh import signed_volumes
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.gripper import GripperConfig, hand_boxes
from binpose_grasping.inside import count_inside
from binpose_grasping.rays import exits

FACES = 5000  # the level of detail whose faces the rays meet
OUTER_PAD = 0.75  # of the pad beyond the tool centre point, the farthest place of a contact


@dataclass(frozen=True)
class AntipodalConfig:
    """How grasps of a part are looked for.

    points: places on the surface from which an opposite contact is looked for.
    rotations: hands about the closing axis of each pair of contacts.
    depths: how many places of the contacts between the tool centre point and the finger tips are tried.
    friction: coefficient of friction between finger and part.
    """

    points: int = setting(300, bounds=(1, 4096))
    rotations: int = setting(12, bounds=(1, 360))
    depths: int = setting(2, bounds=(1, 20))
    friction: float = setting(0.4, bounds=(0.01, 2.0))

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def cone_rad(self) -> float:
        """Half the angle of the friction cone."""
        return float(np.arctan(self.friction))


@dataclass(frozen=True, eq=False)
class PartGrasps:
    """N grasps of a part in its own frame, best first.

    T_obj_hand: (N, 4, 4) float64, see `gripper` for the hand's frame.
    contacts_m: (N, 2, 3) float64, where the fingers touch the part.
    width_m: (N,) float64, distance of the contacts.
    score: (N,) float64 in [0, 1]: how far from slipping, and how near to the centre of mass.
    """

    T_obj_hand: FloatArray
    contacts_m: FloatArray
    width_m: FloatArray
    score: FloatArray

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class _Asked:
    """Parts with the same digest have the same grasps."""

    digest: str
    gripper: GripperConfig
    config: AntipodalConfig
    part: ObjectModel = field(compare=False)


def antipodal_grasps(part: ObjectModel, gripper: GripperConfig, config: AntipodalConfig) -> PartGrasps:
    """Grasps in which the hand does not run into the part itself; found once per part, gripper and config.

    The part's surface points lie in random order, the same for the same part, and so are its grasps. Symmetric
    doubles are kept: in a bin some of them are free where others are not. A part whose mesh does not close has no
    inside to send a ray through, and no grasps.
    """
    return _grasps(_Asked(part.digest, gripper, config, part))


@lru_cache(maxsize=256)
def _grasps(asked: _Asked) -> PartGrasps:
    part, gripper, config = asked.part, asked.gripper, asked.config
    contacts, score = _contact_pairs(part, gripper, config)
    T_obj_hand = _hands(contacts, gripper, config)  # (pairs, rotations, depths, 4, 4)
    each = config.rotations * config.depths
    contacts, score = np.repeat(contacts, each, axis=0), np.repeat(score, each)
    width_m = np.linalg.norm(contacts[:, 1] - contacts[:, 0], axis=1)
    T_obj_hand = T_obj_hand.reshape(-1, 4, 4)
    boxes = hand_boxes(gripper, width_m, part.diameter_m)
    free = count_inside(inverse(T_obj_hand), *boxes, part.points) == 0
    chosen = np.flatnonzero(free)[np.argsort(-score[free], kind="stable")]
    return PartGrasps(T_obj_hand[chosen], contacts[chosen], width_m[chosen], score[chosen])


def _contact_pairs(part: ObjectModel, gripper: GripperConfig, config: AntipodalConfig) -> tuple[FloatArray, FloatArray]:
    """Contacts (N, 2, 3) that a ray along the first one's normal joins, and scores (N,)."""
    if not part.watertight:
        return np.zeros((0, 2, 3)), np.zeros(0)
    mesh = part.lod(FACES)
    first = part.points[: config.points].astype(np.float64)
    inward = -part.normals[: config.points].astype(np.float64)
    ray, face, width_m = exits(mesh, first, inward, gripper.least_width_m)
    cosine = (inward[ray] * mesh.face_normals[face]).sum(-1)
    angle_rad = np.arccos(np.clip(cosine, -1, 1))  # the first contact's own is zero
    room_m = gripper.opening_m - 2 * gripper.clearance_m
    kept = (angle_rad < config.cone_rad) & (width_m <= room_m)
    ray, width_m, angle_rad = ray[kept], width_m[kept], angle_rad[kept]
    contacts = np.stack([first[ray], first[ray] + width_m[:, None] * inward[ray]], 1)
    score = (1 - angle_rad / config.cone_rad) * _balance(part, first[ray], inward[ray])
    return contacts, score


def _balance(part: ObjectModel, origins: FloatArray, directions: FloatArray) -> FloatArray:
    """(N,) in [0, 1]: 1 where the line goes through the centre of mass, 0 where it passes beyond the whole part."""
    center = center_of_mass(part)
    offset = center - origins
    along = (offset * directions).sum(-1, keepdims=True)
    distance_m = np.linalg.norm(offset - along * directions, axis=1)
    farthest_m = float(np.linalg.norm(part.mesh.vertices - center, axis=1).max())
    return np.asarray(np.clip(1 - distance_m / farthest_m, 0, 1))


def center_of_mass(part: ObjectModel) -> FloatArray:
    """(3,) float64 in metres, for a closed part of one density."""
    corners = part.mesh.vertices.astype(np.float64)[part.mesh.faces] - part.center_m
    volumes = signed_volumes(part.mesh.vertices - part.center_m, part.mesh.faces)
    return np.asarray(part.center_m + (volumes[:, None] * corners.sum(axis=1) / 4).sum(axis=0) / volumes.sum())


def _hands(contacts: FloatArray, gripper: GripperConfig, config: AntipodalConfig) -> FloatArray:
    """T_obj_hand (N, rotations, depths, 4, 4) about the closing axes of the contacts (N, 2, 3)."""
    y = contacts[:, 1] - contacts[:, 0]
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    across = np.cross(y, np.eye(3)[np.abs(y).argmin(axis=1)])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    turn = 2 * np.pi * np.arange(config.rotations)[:, None] / config.rotations
    z = np.cos(turn) * across[:, None] + np.sin(turn) * np.cross(y, across)[:, None]
    closing = np.broadcast_to(y[:, None], z.shape)
    rotation = np.stack([np.cross(closing, z), closing, z], -1)
    depth_m: npt.NDArray[np.float64] = np.linspace(0, OUTER_PAD * gripper.pad_m, config.depths)
    place = contacts.mean(axis=1)[:, None, None] - depth_m[:, None] * z[:, :, None]
    return from_rotation_translation(rotation[:, :, None], place)
