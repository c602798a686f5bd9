"""Expected quality of grasps when the estimated pose of the part is off by sampled errors.

For each sampled error, the open hand approaches the displaced part, and the fingers close until they touch. The grasp
holds if the hand was free, both fingers touch within their stroke, and the wrench space contains the origin. The
quality is the mean of the Ferrari-Canny quality over all samples, zero for those that fail (Weisz and Allen, 2012).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import center_of_mass, surface_radius
from binpose_grasping.gripper import GripperConfig, hand_boxes
from binpose_grasping.overlaps import boxes_touch_mesh
from binpose_grasping.rays import first_hits
from binpose_grasping.search_config import ContactConfig, PoseErrorConfig
from binpose_grasping.wrench import contact_wrenches, epsilon_quality

FACES = 2000
TOUCHING_M = 0.0015
"""Surface within this distance of the first touch belongs to the contact: pads are soft, flat sides turn to them."""


@dataclass(frozen=True, eq=False)
class Robustness:
    """Of N grasps: expected quality (N,), success fraction (N,), and quality without error (N,)."""

    quality: FloatArray
    success: FloatArray
    nominal: FloatArray


def robustness(
    part: ObjectModel,
    T_obj_hand: FloatArray,
    width_m: FloatArray,
    gripper: GripperConfig,
    contact: ContactConfig,
    errors: PoseErrorConfig,
) -> Robustness:
    """Test grasps (N, 4, 4) with widths (N,) under all sampled errors."""
    corners = _corners(part)
    center, radius = center_of_mass(part), surface_radius(part)
    quality = np.zeros((errors.samples, len(width_m)))
    for sample, T_obj_displaced in enumerate(errors.sample(center)):
        T_hand_part = inverse(T_obj_hand) @ T_obj_displaced
        low, high = hand_boxes(gripper, width_m, part.diameter_m)
        free = ~boxes_touch_mesh(T_hand_part, low, high, corners)
        points, inward, touched = closing_contacts(corners, T_hand_part, width_m, gripper)
        for n in np.flatnonzero(free & touched):
            quality[sample, n] = epsilon_quality(contact_wrenches(points[n], inward[n], contact, center, radius))
    return Robustness(quality.mean(axis=0), (quality > 0).mean(axis=0), quality[0])


def closing_contacts(
    corners: FloatArray, T_hand_part: FloatArray, width_m: FloatArray, gripper: GripperConfig
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Where closing fingers touch a part.

    Each finger is represented by rays from its pad's centre and corners. The contact is where the first ray hits; its
    normal is the mean of those of all rays that hit at nearly the same distance.

    Args:
        corners: (F, 3, 3) of the part's triangles.
        T_hand_part: (N, 4, 4) part in the frame of the hand.
        width_m: (N,) widths that the fingers open for.
        gripper: the hand.

    Returns:
        contacts (N, 2, 3) and unit normals into the part (N, 2, 3) in the part's frame, and whether both fingers touch
        before they meet (N,).
    """
    pads = _pad_points(gripper)
    count, rays = len(width_m), len(pads)
    T_part_hand = inverse(T_hand_part)
    facing = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    points, inward, touched = np.zeros((count, 2, 3)), np.zeros((count, 2, 3)), np.ones(count, np.bool_)
    reach = width_m / 2 + gripper.clearance_m
    for finger, side in enumerate((-1.0, 1.0)):
        starts = np.broadcast_to(pads, (count, rays, 3)).copy()
        starts[:, :, 1] = side * reach[:, None]
        origins = starts @ np.swapaxes(T_part_hand[:, :3, :3], 1, 2) + T_part_hand[:, None, :3, 3]
        closing = -side * T_part_hand[:, :3, 1]
        directions = np.repeat(closing, rays, axis=0)
        farthest = 2 * float(reach.max(initial=0.0))
        distance, face = first_hits(corners, origins.reshape(-1, 3), directions, farthest)
        distance, face = distance.reshape(count, rays), face.reshape(count, rays)
        nearest = distance.argmin(axis=1)
        first = distance[np.arange(count), nearest]
        touched &= first <= 2 * reach
        met = distance <= first[:, None] + TOUCHING_M
        normals = -facing[face] * (met & np.isfinite(distance))[..., None]
        inward[:, finger] = _unit(normals.sum(axis=1))
        way = np.where(np.isfinite(first), first, 0.0)
        points[:, finger] = _mean_point(origins, met) + way[:, None] * closing
    touched &= ((points[:, 1] - points[:, 0]) * T_part_hand[:, :3, 1]).sum(-1) > gripper.least_width_m / 2
    return points, inward, touched


def _pad_points(gripper: GripperConfig) -> FloatArray:
    """(5, 3) points of a pad: near its corners and its centre; y is zero."""
    half_x, half_z = 0.4 * gripper.finger_width_m, 0.8 * gripper.pad_m
    places = [(0, 0), (-half_x, -half_z), (half_x, -half_z), (-half_x, half_z), (half_x, half_z)]
    return np.array([(x, 0.0, z) for x, z in places])


def _mean_point(origins: FloatArray, met: npt.NDArray[np.bool_]) -> FloatArray:
    weight = met / np.maximum(met.sum(axis=1, keepdims=True), 1)
    return np.einsum("nr,nri->ni", weight, origins)


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _corners(part: ObjectModel) -> FloatArray:
    mesh = part.lod(FACES)
    return mesh.vertices.astype(np.float64)[mesh.faces]
