"""Light: the environment map, lamps, and their shadows."""

from dataclasses import dataclass

import cv2
import numba
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.rendering.renderer import Renderer
from binpose_simulation.gbuffer import REPEATABLE, GBuffer
from binpose_simulation.viewpoint import look_at, rounded

ENVIRONMENT_PX = 96
LEVELS = 6
LEVEL_SIGMA_PX = (0.7, 2.0, 4.0, 8.0, 14.0, 22.0)


@dataclass(frozen=True)
class Lamp:
    """A small light.

    position_m: (3,) in the world. rgb: (3,) irradiance at the target, 0 for light that only the depth sensor detects.
    reach_m: its distance to the target. softness_px: blur of its shadows' edges. size_rad: half angle of the lamp seen
    from the target, which widens highlights.
    """

    position_m: FloatArray
    rgb: FloatArray
    reach_m: float
    softness_px: float = 0.0
    size_rad: float = 0.05


def octahedral_directions(size: int) -> npt.NDArray[np.float32]:
    """(size, size, 3) unit vectors of the octahedral map's pixel centres (Cigolle et al., JCGT 2014)."""
    p = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(p, p)
    z = 1 - np.abs(x) - np.abs(y)
    fold = np.maximum(-z, 0)
    d = np.stack([x - np.sign(x) * fold, y - np.sign(y) * fold, z], -1)
    return (d / np.linalg.norm(d, axis=-1, keepdims=True)).astype(np.float32)


DIRECTIONS = octahedral_directions(ENVIRONMENT_PX)


def random_environment(
    rng: np.random.Generator, wall_rgb: FloatArray, level: float, toward_camera: FloatArray
) -> npt.NDArray[np.float32]:
    """(LEVELS, S, S, 3) float32: light from each world direction; each level is blurrier than the one before.

    As seen from inside a bin: the floor below, the bin's walls around, room and lamps above, and the dark camera in
    the middle of them.

    Args:
        rng: random number generator.
        wall_rgb: (3,) colour of the bin.
        level: mean brightness of the room.
        toward_camera: (3,) unit vector in the world.
    """
    d = DIRECTIONS
    tint = 1 + rng.normal(size=3) * 0.06
    base = np.zeros((*d.shape[:2], 3), np.float32)
    base += (rng.uniform(0.3, 0.9) * level * tint).astype(np.float32)
    for _ in range(rng.integers(2, 7)):  # furniture, windows, people
        lobe = np.exp((d @ _unit(rng) - 1) * np.float32(rng.uniform(3, 40)))
        base += lobe[..., None] * (level * rng.uniform(-0.6, 1.2) * (1 + rng.normal(size=3) * 0.15)).astype(np.float32)
    for _ in range(rng.integers(0, 4)):  # lamps and tubes on the ceiling
        base += _area_lamp(rng, d)[..., None] * (level * rng.uniform(2, 14) * tint).astype(np.float32)
    cosine = d @ toward_camera.astype(np.float32)
    camera = _step(cosine, np.cos(rng.uniform(0.05, 0.35)), 0.02)
    base *= 1 - rng.uniform(0.3, 1.0) * camera[..., None]
    rim = rng.uniform(0.05, 0.6) + 0.1 * np.sin(np.arctan2(d[..., 1], d[..., 0]) * 2 + rng.uniform(0, 6))
    walls = _step(-d[..., 2], -rim, 0.06)[..., None]
    shade = (0.25 + 0.5 * (d[..., 2] + 1)) * (1 + 0.3 * (d @ _unit(rng)))
    base = base * (1 - walls) + walls * (wall_rgb * level * 0.8).astype(np.float32) * shade[..., None]
    base = np.maximum(base, 0)
    return np.stack([cv2.GaussianBlur(base, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for sigma in LEVEL_SIGMA_PX])


def _unit(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    vector = rng.normal(size=3)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _area_lamp(rng: np.random.Generator, d: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A rectangular light on the upper half of the sphere."""
    middle = _unit(rng)
    middle[2] = abs(middle[2]) + 0.4
    middle /= np.linalg.norm(middle)
    first = np.cross(middle, _unit(rng))
    first /= np.linalg.norm(first)
    second = np.cross(middle, first)
    half = rng.uniform(0.03, 0.3, 2) * (1, rng.choice([1, 3]))
    inside = np.minimum(half[0] - np.abs(d @ first), half[1] - np.abs(d @ second))
    return _step(inside, 0.0, 0.03) * (d @ middle > 0)


def _step(x: FloatArray, edge: float | FloatArray, width: float) -> npt.NDArray[np.float32]:
    return np.clip((x - edge) / width + 0.5, 0, 1).astype(np.float32)


def shadow(
    lamp: Lamp,
    target_m: FloatArray,
    renderer: Renderer,
    mesh_ids: npt.NDArray[np.integer],
    T_world_obj: FloatArray,
    surfaces: GBuffer,
    camera: Camera,
    T_cam_world: FloatArray,
    size_px: int = 512,
) -> npt.NDArray[np.float32]:
    """Fraction of the lamp's light that reaches each pixel, (H, W) float32, by a depth map from the lamp.

    The map covers the bodies in the camera's view; the table receives shadows but casts none.
    """
    T_lamp_world = inverse(look_at(lamp.position_m, target_m))
    T_lamp_cam = rounded(T_lamp_world @ inverse(T_cam_world))
    view = _lamp_camera(surfaces, camera, T_lamp_cam, size_px)
    depth = renderer.scene(mesh_ids, rounded(T_lamp_world @ T_world_obj), view).depth_m
    lit = _lit(surfaces.depth_m, surfaces.normals, camera.intrinsics, T_lamp_cam, depth, view.intrinsics)
    return cv2.GaussianBlur(lit, (0, 0), lamp.softness_px) if lamp.softness_px > 0.3 else lit


def _lamp_camera(surfaces: GBuffer, camera: Camera, T_lamp_cam: FloatArray, size_px: int) -> Camera:
    """A square view from the lamp that covers a coarse grid of the points on bodies in the camera's view."""
    step = 8
    small = surfaces.depth_m[::step, ::step]
    points = camera.resized(camera.width // step or 1, camera.height // step or 1).backproject(small)
    points = points[(small > 0) & (surfaces.surface_ids[::step, ::step] >= 0)]
    points = points @ T_lamp_cam[:3, :3].T + T_lamp_cam[:3, 3]
    points = points[points[:, 2] > 0.02]
    if len(points) == 0:
        return Camera(size_px, size_px, size_px / 2, size_px / 2, size_px, size_px)
    rays = points[:, :2] / points[:, 2:]
    low, high = rounded(rays.min(0) - 0.02, 6), rounded(rays.max(0) + 0.02, 6)
    focal = (size_px - 1) / np.minimum(high - low, 6.0)
    (fx, fy), (cx, cy) = focal.tolist(), (-low * focal).tolist()
    return Camera(fx, fy, cx, cy, size_px, size_px)


@numba.njit(cache=True, nogil=True, fastmath=REPEATABLE, error_model="numpy")
def _lit(depth, normals, intrinsics, T, lamp_depth, lamp):  # type: ignore[no-untyped-def]
    """1 where no body is nearer to the lamp, with 2x2 percentage-closer filtering; T is T_lamp_cam."""
    height, width = depth.shape
    rows, columns = lamp_depth.shape
    result = np.ones((height, width), np.float32)
    for v in range(height):
        ry = (v - intrinsics[3]) / intrinsics[1]
        for u in range(width):
            z = depth[v, u]
            if z <= 0.0:
                continue
            # an offset along the normal keeps surfaces from shadowing themselves
            offset = 0.0012 * z
            x = (u - intrinsics[2]) / intrinsics[0] * z + normals[v, u, 0] * offset
            y = ry * z + normals[v, u, 1] * offset
            w = z + normals[v, u, 2] * offset
            lz = T[2, 0] * x + T[2, 1] * y + T[2, 2] * w + T[2, 3]
            if lz <= 0.01:
                continue
            lu = lamp[0] * (T[0, 0] * x + T[0, 1] * y + T[0, 2] * w + T[0, 3]) / lz + lamp[2]
            lv = lamp[1] * (T[1, 0] * x + T[1, 1] * y + T[1, 2] * w + T[1, 3]) / lz + lamp[3]
            i, j = int(np.floor(lv)), int(np.floor(lu))
            if i < 0 or j < 0 or i + 1 >= rows or j + 1 >= columns:
                continue
            a, b = lv - i, lu - j
            near = lz - 0.0012 * lz
            d00, d01, d10, d11 = lamp_depth[i, j], lamp_depth[i, j + 1], lamp_depth[i + 1, j], lamp_depth[i + 1, j + 1]
            dark = 0.0
            if 0.0 < d00 < near:
                dark += (1 - a) * (1 - b)
            if 0.0 < d01 < near:
                dark += (1 - a) * b
            if 0.0 < d10 < near:
                dark += a * (1 - b)
            if 0.0 < d11 < near:
                dark += a * b
            result[v, u] = 1.0 - dark
    return result
