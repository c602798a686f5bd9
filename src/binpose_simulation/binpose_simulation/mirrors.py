"""Reflections in the flat inner sides of glossy bins: the content is rendered from the camera's mirror image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numba
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_simulation.bins import Wall
from binpose_simulation.gbuffer import NOTHING, GBuffer, Table, gbuffer
from binpose_simulation.lit_scene import FloatImage, LitScene
from binpose_simulation.materials import ROUGHNESS
from binpose_simulation.pile import Pile

STEP = 2  # pixels of the image per pixel of the reflection
LEAST_WEIGHT, LEAST_SHARE = 0.04, 0.002
"""Thresholds of the reflected light and of the fraction of reflecting pixels, below which reflections are invisible."""
MOST_MIRRORS = 3
FLAT_M = 0.002
BLUR_PX = 0.5, 8.0
"""Standard deviation of the blur for a perfect mirror, and its growth with the roughness."""


@dataclass(frozen=True, eq=False)
class Mirror:
    """A reflecting side of a bin.

    place: index of the bin among the pile's bodies. wall: in the bin's frame. pixels: (h, w) where it is visible.
    """

    place: int
    wall: Wall
    pixels: npt.NDArray[np.bool_]


def mirrored(
    scene: LitScene, surfaces: GBuffer, weights: FloatImage, camera: Camera, T_cam_world: FloatArray, table: Table
) -> FloatImage:
    """Light (H, W, 3) of the parts that the bins' sides and floors reflect.

    Args:
        scene: the pile with its lights.
        surfaces: the camera's view of it.
        weights: (H, W) reflectance of each pixel.
        camera: of the surfaces.
        T_cam_world: (4, 4) pose of the world.
        table: under the bins.
    """
    pile, (height, width) = scene.pile, weights.shape
    small = camera.resized(width // STEP, height // STEP)
    seen = slice(0, STEP * small.height, STEP), slice(0, STEP * small.width, STEP)
    weight, ids, points = weights[seen], surfaces.surface_ids[seen], surfaces.coordinates[seen]
    result = np.zeros((small.height, small.width, 3), np.float32)
    for mirror in _strongest(_mirrors(pile, weight, ids, points), weight):
        members = _content(pile, mirror.place)
        if not len(members):
            continue
        T_world_bin = pile.T_world_obj[mirror.place]
        image = T_cam_world @ T_world_bin @ reflection(mirror.wall) @ inverse(T_world_bin)
        light = np.zeros_like(result)
        light[mirror.pixels] = _content_seen(scene, members, small, image, mirror.pixels, table)
        near, growth = BLUR_PX
        light = cv2.GaussianBlur(light, (0, 0), near + growth * float(scene.materials[mirror.place, 0, ROUGHNESS]))
        result += np.where(mirror.pixels[..., None], light, 0)
    return weights[..., None] * cv2.resize(result, (width, height), interpolation=cv2.INTER_LINEAR)


def _mirrors(pile: Pile, weights: FloatImage, ids: npt.NDArray[np.int32], points: FloatImage) -> Iterator[Mirror]:
    """The visible sides, from the body ids and the points in the bodies' frames of all pixels."""
    for place in range(len(pile.mesh_ids) - len(pile.bin_boxes), len(pile.mesh_ids)):
        yield from _mirrors_of(place, pile.sides, (ids == place) & (weights > LEAST_WEIGHT), points)


def _mirrors_of(
    place: int, sides: Sequence[Wall], glossy: npt.NDArray[np.bool_], points: FloatImage
) -> Iterator[Mirror]:
    """The visible sides of one bin; each pixel that reflects, `glossy` (h, w), belongs to the first side it lies on."""
    least, left = LEAST_SHARE * glossy.size, np.count_nonzero(glossy)
    for side in sides:
        if left < least:
            return
        pixels = np.zeros_like(glossy)
        count = pixels_on_plane(points, glossy, side.point, side.normal, FLAT_M, pixels)
        if count >= least:
            yield Mirror(place, side, pixels)
            glossy = glossy & ~pixels
            left -= count


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pixels_on_plane(points, candidates, point, normal, tolerance, found):  # type: ignore[no-untyped-def]
    """Set found (h, w) at the candidates whose points (h, w, 3) are nearer than the tolerance to a plane; their number.

    The same as ``candidates & (abs((points - point) @ normal) < tolerance)``.
    """
    count = 0
    for v in range(candidates.shape[0]):
        for u in range(candidates.shape[1]):
            if candidates[v, u]:
                x, y, z = points[v, u, 0] - point[0], points[v, u, 1] - point[1], points[v, u, 2] - point[2]
                if abs(x * normal[0] + y * normal[1] + z * normal[2]) < tolerance:
                    found[v, u] = True
                    count += 1
    return count


def _strongest(mirrors: Iterable[Mirror], weights: FloatImage) -> list[Mirror]:
    """The strongest ones: each takes a rendering, which weak reflections are not worth."""
    return sorted(mirrors, key=lambda mirror: -float(weights[mirror.pixels].sum()))[:MOST_MIRRORS]


def reflection(wall: Wall) -> FloatArray:
    """(4, 4) maps points to their mirror images behind a wall."""
    T = np.eye(4)
    T[:3, :3] -= 2.0 * np.outer(wall.normal, wall.normal)
    T[:3, 3] = 2.0 * (wall.point @ wall.normal) * wall.normal
    return T


def _content(pile: Pile, place: int) -> npt.NDArray[np.intp]:
    """The bodies in a bin; the content of neighbouring bins is behind its walls."""
    first_bin = len(pile.mesh_ids) - len(pile.bin_boxes)
    low, high = pile.bin_boxes[place - first_bin, :, :2]
    centers = np.array([pile.renderer.meshes[i].box_center_m for i in pile.mesh_ids[:first_bin]])
    where = transform(pile.T_world_obj[:first_bin], centers.reshape(-1, 1, 3))[:, 0, :2]
    return np.flatnonzero(((where > low) & (where < high)).all(1))


def _content_seen(
    scene: LitScene,
    members: npt.NDArray[np.intp],
    camera: Camera,
    T_cam_world: FloatArray,
    pixels: npt.NDArray[np.bool_],
    table: Table,
) -> FloatImage:
    """Light (n, 3) of the members at the n selected pixels (h, w), without shadows."""
    x, y, width, height = cv2.boundingRect(pixels.view(np.uint8))
    pixels, window = pixels[y : y + height, x : x + width], camera.cropped(x, y, width, height)
    mesh_ids, T_cam_obj = scene.pile.mesh_ids[members], T_cam_world @ scene.pile.T_world_obj[members]
    rendering = scene.pile.renderer.scene(mesh_ids, T_cam_obj, window)
    surfaces = gbuffer(rendering, scene.pile.smooth, mesh_ids, T_cam_obj, window, T_cam_world, table)
    surfaces.surface_ids[~pixels | (rendering.instance_ids < 0)] = NOTHING
    everywhere = np.ones((len(scene.lamps), *pixels.shape), np.float32)
    return scene.seen(surfaces, window, T_cam_world, everywhere, everywhere[0], members).color[pixels]
