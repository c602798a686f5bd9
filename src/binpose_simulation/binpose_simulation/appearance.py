"""Colour of a rendered scene: random materials and lights, shading, and the camera's image."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation import materials as mat
from binpose_simulation.gbuffer import FLOOR, NOTHING, TABLE, GBuffer, Table
from binpose_simulation.lighting import Lamp, random_environment, shadow
from binpose_simulation.lit_scene import EXTRA, LitScene
from binpose_simulation.mirrors import mirrored
from binpose_simulation.photograph import PhotographConfig, photograph
from binpose_simulation.pile import Pile
from binpose_simulation.textures import random_texture
from binpose_simulation.viewpoint import check_range

Type = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class AppearanceConfig:
    """Random appearance of a view.

    projector_lit_share: probability that the depth sensor's projector is the only strong light, as with structured
        light.
    shadow_share: probability of hard or soft shadows of a lamp; the projector always casts shadows.
    room_level: brightness of the surroundings, relative to that of the lamps.
    mirror: whether glossy bins mirror their content.
    """

    materials: mat.MaterialConfig = field(default_factory=mat.MaterialConfig)
    photograph: PhotographConfig = field(default_factory=PhotographConfig)
    projector_lit_share: float = setting(0.4, bounds=FRACTION)
    shadow_share: float = setting(0.75, bounds=FRACTION)
    room_level: tuple[float, float] = (0.08, 1.2)
    mirror: bool = True

    def __post_init__(self) -> None:
        check_bounds(self)
        check_range(type(self).__name__, "room_level", self.room_level, 1e-4, 100.0)


@dataclass(frozen=True)
class Shading:
    """color: (H, W, 3) uint8 RGB or (H, W) uint8 mono.

    signal: (H, W) float32, the projector's light as the depth sensor receives it, 1 = a white wall facing it.
    stray: (H, W) float32, mirrored light of the scene that disturbs it.
    projector_lit: (H, W) float32 fraction of the projector's light that reaches the surface.
    """

    color: npt.NDArray[np.uint8]
    signal: npt.NDArray[np.float32]
    stray: npt.NDArray[np.float32]
    projector_lit: npt.NDArray[np.float32]


def shade(
    rng: np.random.Generator,
    config: AppearanceConfig,
    pile: Pile,
    surfaces: GBuffer,
    camera: Camera,
    T_cam_world: FloatArray,
    projector_m: FloatArray,
    table: Table,
) -> Shading:
    """Colour and projector signal of a view; the depth sensor's projector is at projector_m (3,), world frame."""
    rows, bodies = _dressed(rng, config.materials, pile)
    T_world_cam = inverse(T_cam_world)
    target = _target(surfaces, camera, T_world_cam)
    lamps = _lamps(rng, config, T_world_cam[:3, 3], target, projector_m)
    casting = [True, *(rng.random() < config.shadow_share for _ in lamps[1:])]
    shadows = np.stack([
        shadow(lamp, target, pile.renderer, pile.mesh_ids, pile.T_world_obj, surfaces, camera, T_cam_world)
        if cast else np.ones(surfaces.depth_m.shape, np.float32)
        for lamp, cast in zip(lamps, casting, strict=True)
    ])  # fmt: skip
    dark = lamps[0].rgb.any() and len(lamps) == 1
    level = np.exp(rng.uniform(*np.log(config.room_level))) * (0.25 if dark else 1.0)
    toward_camera = T_world_cam[:3, 3] - target
    bin_rgb = rows[len(pile.mesh_ids) - 1, 0, :3].astype(np.float64)
    environment = random_environment(rng, bin_rgb, level, toward_camera / np.linalg.norm(toward_camera))
    scene = LitScene(pile, rows, bodies, lamps, environment, *random_texture(rng))
    light = scene.seen(surfaces, camera, T_cam_world, shadows, occlusion(rng, surfaces, camera, T_world_cam))
    color, stray = light.color, np.zeros_like(light.signal)
    if config.mirror:
        reflected = mirrored(scene, surfaces, light.mirror, camera, T_cam_world, table)
        color, stray = color + reflected, reflected.mean(-1)
    return Shading(
        photograph(rng, config.photograph, color, surfaces.surface_ids >= 0), light.signal, stray, shadows[0]
    )


def _dressed(
    rng: np.random.Generator, config: mat.MaterialConfig, pile: Pile
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Materials (M + 3, 2, COLUMNS) and body rows (M + 3, BODY_COLUMNS) of all bodies, then floor, table, nothing."""
    number = len(pile.mesh_ids)
    rows = np.zeros((number + EXTRA, 2, mat.COLUMNS), np.float32)
    bodies = np.zeros((number + EXTRA, mat.BODY_COLUMNS), np.float32)
    same_bins = rng.random() < 0.8
    types: dict[str, Type] = {}
    bounds = pile.bounds
    for i, group in enumerate(pile.groups):
        kind = group.split(":")[0]
        key = "bin" if kind == "bin" and same_bins else group
        if key not in types:
            types[key] = _bin_type(rng, config) if kind == "bin" else _part_type(rng, config, bounds[i])
        first, second, body = types[key]
        rows[i, 0], rows[i, 1] = (first, second) if kind == "bin" else (mat.varied(rng, first), mat.varied(rng, second))
        bodies[i] = body
        if kind != "bin":
            low, high = bounds[i]
            bodies[i, mat.AXIS : mat.AXIS + 3], bodies[i, mat.CENTER : mat.CENTER + 3] = pile.axes[i], (low + high) / 2
    for index in (FLOOR, TABLE, NOTHING):
        rows[index] = mat.random_table_material(rng)
    return rows, bodies


def _part_type(rng: np.random.Generator, config: mat.MaterialConfig, bounds: FloatArray) -> Type:
    """A material for parts of one type, whose corners are the bounds (2, 3)."""
    low, high = bounds
    row = np.zeros(mat.BODY_COLUMNS, np.float32)
    row[mat.ZONE], row[mat.ZONE_LIMIT_M] = mat.random_zone(rng, config.two_tone_share, float((high - low).max()))
    if rng.random() < config.label_share:
        _put_label(rng, row, low, high)
    return mat.random_part_material(rng, config), mat.random_part_material(rng, config), row


def _bin_type(rng: np.random.Generator, config: mat.MaterialConfig) -> Type:
    row = np.zeros(mat.BODY_COLUMNS, np.float32)
    if rng.random() < 0.4:
        row[mat.RIB_PITCH], row[mat.RIB] = rng.uniform(0.008, 0.03), rng.uniform(0.05, 0.4)
    if rng.random() < config.label_share:
        _put_label(rng, row, np.full(3, -0.1), np.full(3, 0.1))
    material = mat.random_bin_material(rng)
    return material, material, row


def _put_label(rng: np.random.Generator, row: npt.NDArray[np.float32], low: FloatArray, high: FloatArray) -> None:
    axis = int(rng.integers(3))
    low, high = np.delete(low, axis), np.delete(high, axis)
    middle, half = rng.uniform(low, high), (high - low) * rng.uniform(0.06, 0.3, 2)
    row[mat.LABEL], row[mat.LABEL_U], row[mat.LABEL_V] = axis + 1, *middle
    row[mat.LABEL_HALF_U], row[mat.LABEL_HALF_V], row[mat.LABEL_CELL] = *half, half.min() / rng.uniform(1.5, 8) + 1e-4


def _target(surfaces: GBuffer, camera: Camera, T_world_cam: FloatArray) -> FloatArray:
    """(3,) world point at the centre of the image."""
    middle = surfaces.depth_m[camera.height // 4 : -camera.height // 4, camera.width // 4 : -camera.width // 4]
    z = float(np.median(middle)) or 0.5
    return T_world_cam[:3, :3] @ np.array([0.0, 0.0, z]) + T_world_cam[:3, 3]


def _lamps(
    rng: np.random.Generator,
    config: AppearanceConfig,
    camera_m: FloatArray,
    target: FloatArray,
    projector_m: FloatArray,
) -> list[Lamp]:
    """The projector first; then, unless it is the only light, a lamp above the scene."""
    reach = float(np.linalg.norm(projector_m - target))
    if rng.random() < config.projector_lit_share:
        tint = 1 + rng.normal(size=3) * 0.05
        return [Lamp(projector_m, rng.uniform(0.6, 1.5) * tint, reach, 0.0, rng.uniform(0.02, 0.06))]
    projector = Lamp(projector_m, np.zeros(3), reach, 0.0, 0.03)
    tilt, azimuth, distance = rng.uniform(0.05, 0.9), rng.uniform(-np.pi, np.pi), rng.uniform(0.6, 2.5)
    away = np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)]) * distance
    if rng.random() < 0.3:  # a light at the camera
        away = camera_m - target + rng.normal(size=3) * 0.1
    rgb = np.exp(rng.uniform(-2.0, 0.4)) * (1 + rng.normal(size=3) * 0.08)
    size = rng.uniform(0.02, 0.4)
    lamp = Lamp(target + away, rgb, float(np.linalg.norm(away)), size * rng.uniform(3, 15), size)
    return [projector, lamp]


def occlusion(
    rng: np.random.Generator, surfaces: GBuffer, camera: Camera, T_world_cam: FloatArray
) -> npt.NDArray[np.float32]:
    """(H, W) fraction of the ambient light that reaches each pixel: less where the surroundings are higher.

    Computed from the mean height around a pixel relative to its own, at three radii and a quarter of the resolution.
    """
    height, width = surfaces.depth_m.shape
    small = camera.resized(max(width // 4, 1), max(height // 4, 1))
    depth = cv2.resize(surfaces.depth_m, (small.width, small.height), interpolation=cv2.INTER_NEAREST)
    points = small.backproject(depth)
    z = points @ T_world_cam[2, :3].astype(np.float32) + np.float32(T_world_cam[2, 3])
    pixel_m = max(float(np.median(depth)), 0.05) / small.fx
    total = np.zeros_like(z)
    for radius in (2, 6, 18):
        around = cv2.blur(z, (2 * radius + 1, 2 * radius + 1))
        total += np.clip((around - z) / np.float32(radius * pixel_m), 0, 1.5)
    strength = rng.uniform(0.3, 1.1)
    return cv2.resize(np.exp(-strength * total), (width, height), interpolation=cv2.INTER_LINEAR)
