"""A bin from a user's mesh: finds the opening and the floor, and the convex pieces of the walls."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, rotation_between, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.renderer import Renderer
from binpose_simulation.bins import BinSpec
from binpose_simulation.decomposition import convex_pieces

UP = np.array([0.0, 0.0, 1.0])
GRID = 160  # pixels of the height map's longer side


@dataclass(frozen=True, eq=False)
class MeshBin:
    """A bin given by a mesh.

    Attributes:
        mesh: in the world frame of `bins`: z up, floor at 0, centre of the floor at the origin, lowest wall at +x.
        pieces: convex meshes for collisions, in the same frame.
        spec: the box fitted to it, in which parts are placed.
        T_world_mesh: (4, 4) from the frame of the user's mesh.
    """

    mesh: Mesh
    pieces: tuple[Mesh, ...]
    spec: BinSpec
    T_world_mesh: FloatArray


def bin_from_mesh(mesh: Mesh, opening: npt.ArrayLike | None = None) -> MeshBin:
    """Interpret a mesh (metres) as a bin.

    Args:
        mesh: an open container in any of the six upright orientations.
        opening: (3,) direction of the opening in the mesh's frame; None: the axis along which it is hollow.

    Raises:
        BinposeError: if the mesh is not hollow from the top, or has no walls around its floor.
    """
    direction = _opening(mesh) if opening is None else np.asarray(opening, dtype=np.float64)
    T_up_mesh = from_rotation_translation(rotation_between(direction, UP), np.zeros(3))
    heights, origin, pixel = _height_map(_moved(mesh, T_up_mesh))
    floor_z, floor = _floor(heights)
    if np.nanmax(heights) - floor_z < 0.005:
        raise BinposeError(
            "This mesh is no bin: seen from its opening it is less than 5 mm deep. Check unit and opening."
        )
    box = _extent(floor)
    middle = origin + (box.mean(0) + 0.5) * pixel
    walls = [_wall(heights - floor_z, box, axis, sign, pixel) for axis in (0, 1) for sign in (1, -1)]
    if min(top for top, _ in walls) < 0.005:
        raise BinposeError(
            "This mesh is no open box: its floor has not 5 mm of wall on each of four sides; check mesh and unit."
        )
    turn = _front_turn([top for top, _ in walls], box)
    walls = [walls[k] for k in ((0, 1, 2, 3), (2, 3, 1, 0), (1, 0, 3, 2), (3, 2, 0, 1))[turn]]
    quarter = np.round(
        np.array([[np.cos(a := -turn * np.pi / 2), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    )
    to_floor = from_rotation_translation(np.eye(3), -np.array([*middle, floor_z]))
    T_world_mesh = from_rotation_translation(quarter, np.zeros(3)) @ to_floor @ T_up_mesh
    size = (np.diff(box, axis=0)[0] + 1.0) * pixel
    world = _moved(mesh, T_world_mesh)
    pieces = tuple(convex_pieces(world, 32, threshold=0.03))
    return MeshBin(world, pieces, _spec(size[::-1] if turn % 2 else size, walls), T_world_mesh)


def _moved(mesh: Mesh, T_new_old: FloatArray) -> Mesh:
    return Mesh(transform(T_new_old, mesh.vertices.astype(np.float64)).astype(np.float32), mesh.faces)


def _opening(mesh: Mesh) -> FloatArray:
    """The axis direction (3,) with the most empty space between the bounding box and the mesh."""
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    air = []
    for direction in directions:
        turn = from_rotation_translation(rotation_between(direction, UP), np.zeros(3))
        heights, _, pixel = _height_map(_moved(mesh, turn))
        # Rays without a hit pass the bounding box's corners, not the inside of a container.
        air.append(float(np.nansum(np.nanmax(heights) - heights)) * pixel**2)
    return directions[int(np.argmax(air))]


def _height_map(mesh: Mesh) -> tuple[FloatArray, FloatArray, float]:
    """Heights z (X, Y) of the mesh seen from above (NaN: empty), the (x, y) of its corner, the pixel size in metres."""
    low, high = mesh.vertices.min(0).astype(np.float64), mesh.vertices.max(0).astype(np.float64)
    pixel = float((high - low)[:2].max()) / GRID
    columns, rows = np.ceil((high - low)[:2] / pixel).astype(int)
    distance = 100.0 * float((high - low).max())  # so far that the projection is nearly parallel
    camera = np.array([*(low + high)[:2] / 2.0, high[2] + distance])
    flip = np.diag([1.0, -1.0, -1.0])
    T_cam_mesh = from_rotation_translation(flip, -flip @ camera)
    focal = distance / pixel
    intrinsics = np.array([[focal, focal, (columns - 1) / 2.0, (rows - 1) / 2.0]])
    depth = Renderer([mesh]).crops(np.array([0]), T_cam_mesh[None], intrinsics, int(rows), int(columns)).depth_m[0]
    heights = np.where(depth > 0.0, camera[2] - depth.astype(np.float64), np.nan)
    corner = camera[:2] - np.array([columns, rows]) * pixel / 2.0
    return heights[::-1].T, corner, pixel


def _floor(heights: FloatArray) -> tuple[float, npt.NDArray[np.bool_]]:
    """The most frequent height below the rim, and the pixels (X, Y) within 2 mm of it."""
    seen = heights[np.isfinite(heights)]
    depth = seen.max() - seen
    counts, edges = np.histogram(depth[depth > 0.2 * depth.max()], bins=200, range=(0.0, float(depth.max()) + 1e-9))
    best = int(counts.argmax())
    level = float(np.median(seen[(depth >= edges[best] - 1e-9) & (depth <= edges[best + 1] + 1e-9)]))
    return level, np.abs(heights - level) < 0.002


def _extent(floor: npt.NDArray[np.bool_]) -> FloatArray:
    """First and last pixel (2, 2) of the floor along x and y, without stray pixels."""
    spans = []
    for axis in (0, 1):
        coverage = floor.mean(axis=1 - axis)
        inside = np.flatnonzero(coverage > 0.5 * coverage.max())
        spans.append([inside[0], inside[-1]])
    return np.array(spans, dtype=np.float64).T


def _wall(heights: FloatArray, box: FloatArray, axis: int, sign: int, pixel: float) -> tuple[float, float]:
    """Height of the wall on one side of the floor, and its slope from the vertical in radians."""
    across = box[:, 1 - axis]
    strip = slice(int(across[0] + 0.3 * np.ptp(across)), int(across[0] + 0.7 * np.ptp(across)) + 1)
    sections = np.moveaxis(heights, axis, 0)[:, strip]
    sections = np.where(np.isnan(sections).all(axis=1, keepdims=True), 0.0, sections)  # empty: no wall
    profile = np.nanmedian(sections, axis=1)
    edge = int(box[1 if sign > 0 else 0, axis])
    outwards = np.nan_to_num(profile[edge:] if sign > 0 else profile[edge::-1])
    top = float(outwards.max())
    reach = int(np.argmax(outwards > 0.85 * top))
    return top, float(np.arctan2(max(reach - 1.0, 0.0) * pixel, 0.85 * top))


def _front_turn(tops: list[float], box: FloatArray) -> int:
    """Quarter turns, in the order +x, +y, -x, -y, from +x to the lowest wall, or to the longer side if all equal."""
    order = [tops[0], tops[2], tops[1], tops[3]]
    if min(order) < 0.9 * max(order):
        return int(np.argmin(order))
    length, width = np.diff(box, axis=0)[0]
    return 0 if length >= width else 1


def _spec(size: FloatArray, walls: list[tuple[float, float]]) -> BinSpec:
    """The box with this floor and these walls: front, back, left, right."""
    height = max(top for top, _ in walls)
    taper = float(np.median([lean for _, lean in walls[1:]]))
    length, width = float(size[0]), float(size[1])
    return BinSpec(length, width, height, 0.002, taper, max(walls[0][1], 0.0), min(walls[0][0], height), 0.0, 0.0)
