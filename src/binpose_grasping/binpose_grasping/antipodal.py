"""Antipodal pairs of contacts on a mesh: both contacts see each other within their friction cones."""

from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
from binpose_core.meshes.mesh import signed_volumes
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.rays import exits
from binpose_grasping.wrench import tangents

FACES = 5000  # level of detail for ray intersections
OUTER_PAD = 0.9  # farthest contact, as a fraction of the pad beyond the tool centre point
INSIDE_CONE = 0.8  # tilted rays stay within this fraction of the friction cone


@dataclass(frozen=True, eq=False)
class ContactPairs:
    """N pairs of contacts.

    contacts_m: (N, 2, 3) float64.
    margin: (N,) in [0, 1]: 1 if both normals are along the closing line, 0 at the edge of a friction cone.
    """

    contacts_m: FloatArray
    margin: FloatArray

    @property
    def width_m(self) -> FloatArray:
        """(N,) distance of the contacts."""
        return np.asarray(np.linalg.norm(self.contacts_m[:, 1] - self.contacts_m[:, 0], axis=1))


def contact_pairs(part: ObjectModel, gripper: GripperConfig, cone_rad: float, points: int, tilts: int) -> ContactPairs:
    """Pairs that fit between the fingers, from rays through surface points.

    The first ray follows the normal; `tilts` further ones are tilted into the friction cone, evenly about it. A part
    whose mesh is not closed has none, because rays need an inside.

    Args:
        part: whose surface points are in a random but reproducible order.
        gripper: the hand.
        cone_rad: half angle of the friction cone.
        points: number of surface points that rays start from.
        tilts: number of tilted rays per point.
    """
    if not part.watertight:
        return ContactPairs(np.zeros((0, 2, 3)), np.zeros(0))
    mesh = part.lod(FACES)
    first = np.repeat(part.points[:points].astype(np.float64), 1 + tilts, axis=0)
    normal = -np.repeat(part.normals[:points].astype(np.float64), 1 + tilts, axis=0)
    inward = _tilted(normal, tilts, INSIDE_CONE * cone_rad)
    ray, face, width_m = exits(mesh, first, inward, gripper.least_width_m)
    angles = np.stack([_angle(inward[ray], normal[ray]), _angle(inward[ray], mesh.face_normals[face])])
    room_m = gripper.opening_m - 2 * gripper.clearance_m
    kept = (angles.max(axis=0) < cone_rad) & (width_m <= room_m)
    ray, width_m = ray[kept], width_m[kept]
    contacts = np.stack([first[ray], first[ray] + width_m[:, None] * inward[ray]], 1)
    return ContactPairs(contacts, np.asarray(1 - angles[:, kept].max(axis=0) / cone_rad))


def hands_at(contacts: FloatArray, gripper: GripperConfig, rotations: int, depths: int) -> FloatArray:
    """T_obj_hand (N, rotations, depths, 4, 4) about the closing lines of contacts (N, 2, 3).

    Args:
        contacts: in metres.
        gripper: the hand.
        rotations: number of directions of approach about the closing line.
        depths: number of positions of the contacts between the tool centre point and the finger tips.
    """
    y = contacts[:, 1] - contacts[:, 0]
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    across, other = tangents(y)
    turn = 2 * np.pi * np.arange(rotations)[:, None] / rotations
    z = np.cos(turn) * across[:, None] + np.sin(turn) * other[:, None]
    closing = np.broadcast_to(y[:, None], z.shape)
    rotation = np.stack([np.cross(closing, z), closing, z], -1)
    place = contacts.mean(axis=1)[:, None, None] - depths_m(gripper, depths)[:, None] * z[:, :, None]
    return from_rotation_translation(rotation[:, :, None], place)


def depths_m(gripper: GripperConfig, depths: int) -> FloatArray:
    """(D,) distances of the contacts from the tool centre point towards the finger tips, in metres."""
    return np.linspace(0, OUTER_PAD * gripper.pad_m, depths)


def balance(part: ObjectModel, origins: FloatArray, directions: FloatArray) -> FloatArray:
    """(N,) in [0, 1]: 1 if a line passes through the centre of mass, 0 if it passes outside of the part."""
    center, farthest_m = center_of_mass(part), surface_radius(part)
    offset = center - origins
    along = (offset * directions).sum(-1, keepdims=True)
    distance_m = np.linalg.norm(offset - along * directions, axis=1)
    return np.asarray(np.clip(1 - distance_m / farthest_m, 0, 1))


def center_of_mass(part: ObjectModel) -> FloatArray:
    """(3,) float64 in metres, for a closed part of one density; the centre of the box for an open one."""
    if not part.watertight:
        return part.center_m
    corners = part.mesh.vertices.astype(np.float64)[part.mesh.faces] - part.center_m
    volumes = signed_volumes(part.mesh.vertices - part.center_m, part.mesh.faces)
    return np.asarray(part.center_m + (volumes[:, None] * corners.sum(axis=1) / 4).sum(axis=0) / volumes.sum())


def surface_radius(part: ObjectModel) -> float:
    """Largest distance of the surface from the centre of mass, in metres."""
    return float(np.linalg.norm(part.mesh.vertices - center_of_mass(part), axis=1).max())


def _tilted(normal: FloatArray, tilts: int, angle_rad: float) -> FloatArray:
    """Directions (N, 3): of each 1 + tilts rows, the first is the normal, the others are tilted by the angle."""
    across, other = tangents(normal)
    place = np.arange(len(normal)) % (1 + tilts)
    turn = 2 * np.pi * (place / max(tilts, 1) + 0.38 * (np.arange(len(normal)) // (1 + tilts)))[:, None]
    slope = np.where(place > 0, angle_rad, 0.0)[:, None]
    return np.cos(slope) * normal + np.sin(slope) * (np.cos(turn) * across + np.sin(turn) * other)


def _angle(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.arccos(np.clip((a * b).sum(-1), -1, 1)))
