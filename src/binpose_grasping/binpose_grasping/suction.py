"""Suction grasps: a cup seals where its rim lies on a flat ring of surface, and holds near the centre of mass.

Seal and moment follow Mahler et al., Dex-Net 3.0, 2018: the rim must reach the surface all around within its travel,
and the vacuum must resist weight and tilting moment. All are measured on the mesh.
"""

import numpy as np

from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse
from binpose_core.meshes.mesh import signed_volumes
from binpose_core.parts.grasps import SUCTION, GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import center_of_mass
from binpose_grasping.overlaps import boxes_touch_mesh
from binpose_grasping.rays import first_hits
from binpose_grasping.search_config import PoseErrorConfig, SuctionConfig
from binpose_grasping.wrench import tangents

FACES = 2000
GRAVITY = 9.81
RIM_RAYS = 12


def suction_grasps(part: ObjectModel, config: SuctionConfig, errors: PoseErrorConfig, points: int) -> GraspSet:
    """Suction grasps at surface points, best first; the axis is along the surface's normal."""
    if not config.enabled or not part.watertight:
        return GraspSet.none()
    place, inward = part.points[:points].astype(np.float64), -part.normals[:points].astype(np.float64)
    across, other = tangents(inward)
    T_obj_hand = from_rotation_translation(np.stack([across, other, inward], -1), place)
    mesh = part.lod(FACES)
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    free = ~boxes_touch_mesh(inverse(T_obj_hand), *tool_boxes(config, len(place), part.diameter_m), corners)
    seal = np.where(free, seal_quality(corners, T_obj_hand, config), 0.0)
    kept = np.flatnonzero(seal > 0)
    held = holding_quality(part, place[kept], inward[kept], config)
    kept, held = kept[held > 0], held[held > 0]
    displaced = errors.sample(center_of_mass(part))
    sealed = np.stack([seal_quality(corners, inverse(T) @ T_obj_hand[kept], config) for T in displaced])
    quality, success = (sealed * held).mean(axis=0), (sealed > 0).mean(axis=0)
    contacts = np.repeat(place[kept][:, None], 2, axis=1)
    tool = np.full(len(kept), SUCTION, np.uint8)
    return GraspSet(T_obj_hand[kept], np.zeros(len(kept)), quality, success, contacts, tool).best_first()


def seal_quality(corners: FloatArray, T_obj_hand: FloatArray, config: SuctionConfig) -> FloatArray:
    """(N,) in [0, 1]: 1 for a flat surface below the whole rim, 0 where the rim cannot seal.

    Args:
        corners: (F, 3, 3) of the part's triangles.
        T_obj_hand: (N, 4, 4) of the cup.
        config: the cup.
    """
    turn = 2 * np.pi * np.arange(RIM_RAYS) / RIM_RAYS
    back = 4 * config.travel_m + config.cup_radius_m
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(RIM_RAYS)], -1) * config.cup_radius_m
    start = np.concatenate([np.zeros((1, 3)), ring, ring / 2]) - [0, 0, back]
    origins = start @ np.swapaxes(T_obj_hand[:, :3, :3], 1, 2) + T_obj_hand[:, None, :3, 3]
    directions = np.repeat(T_obj_hand[:, :3, 2], len(start), axis=0)
    distance, face = first_hits(corners, origins.reshape(-1, 3), directions, 2 * back)
    distance, face = distance.reshape(-1, len(start)), face.reshape(-1, len(start))
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    cosine = -(normals[face] * T_obj_hand[:, None, :3, 2]).sum(-1).min(axis=1)
    missed = ~np.isfinite(distance).all(axis=1)
    spread_m = np.ptp(np.where(np.isfinite(distance), distance, 0.0), axis=1)
    flat = np.clip(1 - spread_m / max(config.travel_m, 1e-9), 0, 1)
    return np.where(missed | (cosine < np.cos(config.tilt_rad)), 0.0, flat)


def holding_quality(part: ObjectModel, place: FloatArray, inward: FloatArray, config: SuctionConfig) -> FloatArray:
    """(N,) in [0, 1]: margin of the vacuum against weight and tilting moment, 0 where it fails.

    The cup resists a moment of half its radius times the pull (a rim that opens on one side).
    """
    volume = abs(float(signed_volumes(part.mesh.vertices - part.center_m, part.mesh.faces).sum()))
    load_n = volume * config.density_kg_m3 * GRAVITY * (1 + config.acceleration)
    offset = center_of_mass(part) - place
    lever_m = np.linalg.norm(np.cross(offset, inward), axis=1)
    used = load_n / config.force_n + load_n * lever_m / (config.force_n * config.cup_radius_m / 2)
    return np.asarray(np.clip(1 - used, 0, 1))


def tool_boxes(config: SuctionConfig, count: int, way_m: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Cup and body along their approach as boxes (count, 2, 3) in the hand's frame; the rim itself may touch."""
    r, half, clear = config.cup_radius_m, config.body_m / 2, 2 * config.travel_m
    low = np.array([[-r, -r, -config.length_m - way_m], [-half, -half, -config.length_m - config.body_m - way_m]])
    high = np.array([[r, r, -clear], [half, half, -config.length_m]])
    return np.tile(low, (count, 1, 1)), np.tile(high, (count, 1, 1))
