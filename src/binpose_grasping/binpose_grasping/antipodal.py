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

FACES = 5000  # level of detail for ray intersections
OUTER_PAD = 0.75  # farthest contact, as a fraction of the pad beyond the tool centre point


@dataclass(frozen=True)
class AntipodalConfig:
    """Settings of the grasp search.

    points: number of surface points from which an opposite contact is searched.
    rotations: number of hand orientations about the closing axis of each pair of contacts.
    depths: number of positions of the contacts between the tool centre point and the finger tips.
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
        """Half angle of the friction cone."""
        return float(np.arctan(self.friction))


@dataclass(frozen=True, eq=False)
class PartGrasps:
    """N grasps of a part in its own frame, best first.

    T_obj_hand: (N, 4, 4) float64, see `gripper` for the hand's frame.
    contacts_m: (N, 2, 3) float64, contact points of the fingers.
    width_m: (N,) float64, distance of the contacts.
    score: (N,) float64 in [0, 1]: margin to slipping, times closeness to the centre of mass.
    """

    T_obj_hand: FloatArray
    contacts_m: FloatArray
    width_m: FloatArray
    score: FloatArray

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class _Query:
    """Cache key: parts with the same digest have the same grasps."""

    digest: str
    gripper: GripperConfig
    config: AntipodalConfig
    part: ObjectModel = field(compare=False)


def antipodal_grasps(part: ObjectModel, gripper: GripperConfig, config: AntipodalConfig) -> PartGrasps:
    """Grasps in which the hand does not collide with the part itself; computed once per part, gripper and config.

    The part's surface points are in a random but reproducible order, and so are its grasps. Symmetric duplicates are
    kept, because in a bin only some of them may be free. A part whose mesh is not closed has no grasps, because rays
    need an inside.
    """
    return _grasps(_Query(part.digest, gripper, config, part))


@lru_cache(maxsize=256)
def _grasps(query: _Query) -> PartGrasps:
    part, gripper, config = query.part, query.gripper, query.config
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
    """Pairs of contacts (N, 2, 3) connected by a ray along the first one's normal, and scores (N,)."""
    if not part.watertight:
        return np.zeros((0, 2, 3)), np.zeros(0)
    mesh = part.lod(FACES)
    first = part.points[: config.points].astype(np.float64)
    inward = -part.normals[: config.points].astype(np.float64)
    ray, face, width_m = exits(mesh, first, inward, gripper.least_width_m)
    cosine = (inward[ray] * mesh.face_normals[face]).sum(-1)
    angle_rad = np.arccos(np.clip(cosine, -1, 1))  # the angle at the first contact is zero
    room_m = gripper.opening_m - 2 * gripper.clearance_m
    kept = (angle_rad < config.cone_rad) & (width_m <= room_m)
    ray, width_m, angle_rad = ray[kept], width_m[kept], angle_rad[kept]
    contacts = np.stack([first[ray], first[ray] + width_m[:, None] * inward[ray]], 1)
    score = (1 - angle_rad / config.cone_rad) * _balance(part, first[ray], inward[ray])
    return contacts, score


def _balance(part: ObjectModel, origins: FloatArray, directions: FloatArray) -> FloatArray:
    """(N,) in [0, 1]: 1 if the line passes through the centre of mass, 0 if it passes outside of the part."""
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
