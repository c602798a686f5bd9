"""Open bins: shape, mesh, and the flat walls for the physics.

World frame: z up, the inner surface of the floor is z = 0, its centre is the origin. The front is at +x.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from manifold3d import Manifold

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh

FloatArray = npt.NDArray[np.float64]

FLOOR_LIMITS_M = (0.02, 3.0)


@dataclass(frozen=True)
class BinSpec:
    """An open box; lengths in metres, angles in radians from the vertical.

    Attributes:
        length_m, width_m: inner floor along x and y.
        height_m: rim above the floor's inner surface.
        wall_m: thickness of walls and floor.
        taper_rad: outward slope of the walls.
        front_slope_rad: the same for the front wall at +x; a storage bin's picking side leans 0.6 to 0.8.
        front_height_m: the front wall's own height, at most height_m; 0 means height_m.
        rim_m: width of the flange around the rim; 0 for none.
        corner_m: radius of the vertical corners of the mesh; collisions use sharp corners.
    """

    length_m: float = 0.30
    width_m: float = 0.20
    height_m: float = 0.12
    wall_m: float = 0.003
    taper_rad: float = 0.06
    front_slope_rad: float = 0.06
    front_height_m: float = 0.0
    rim_m: float = 0.008
    corner_m: float = 0.003

    def __post_init__(self) -> None:
        limits = {"length_m": FLOOR_LIMITS_M, "width_m": FLOOR_LIMITS_M}
        limits |= {"height_m": (0.005, 2.0), "wall_m": (0.0005, 0.05)}
        limits |= {"taper_rad": (0.0, 1.2), "front_slope_rad": (0.0, 1.2), "front_height_m": (0.0, self.height_m)}
        limits |= {"rim_m": (0.0, 0.1), "corner_m": (0.0, 0.45 * min(self.length_m, self.width_m))}
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), limits[field.name]
            if not low <= value <= high:
                raise BinposeError(f"bin {field.name} must be in [{low:g}, {high:g}], got {value:g}.")

    @property
    def front_top_m(self) -> float:
        """Height of the front wall."""
        return self.front_height_m or self.height_m

    def inner_bounds(self, z_m: float) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest (x, y) of the inner space at height z_m."""
        side, front = np.tan(self.taper_rad) * z_m, np.tan(self.front_slope_rad) * z_m
        half_x, half_y = self.length_m / 2.0, self.width_m / 2.0
        return np.array([-half_x - side, -half_y - side]), np.array([half_x + front, half_y + side])


@dataclass(frozen=True)
class Wall:
    """A flat wall: a point on its inner lower edge, the unit normal into the bin, the height of its top."""

    point: FloatArray
    normal: FloatArray
    top_m: float


def bin_walls(spec: BinSpec) -> tuple[Wall, ...]:
    """The walls front (+x), back (-x), left (+y), right (-y)."""
    sides = [
        ((1.0, 0.0), spec.length_m / 2.0, spec.front_slope_rad, spec.front_top_m),
        ((-1.0, 0.0), spec.length_m / 2.0, spec.taper_rad, spec.height_m),
        ((0.0, 1.0), spec.width_m / 2.0, spec.taper_rad, spec.height_m),
        ((0.0, -1.0), spec.width_m / 2.0, spec.taper_rad, spec.height_m),
    ]
    return tuple(
        Wall(np.array([x * d, y * d, 0.0]), np.array([-x * np.cos(a), -y * np.cos(a), np.sin(a)]), top)
        for (x, y), d, a, top in sides
    )


def bin_sides(spec: BinSpec) -> tuple[Wall, ...]:
    """The walls, followed by the floor."""
    return *bin_walls(spec), Wall(np.zeros(3), np.array([0.0, 0.0, 1.0]), 0.0)


def make_bin_mesh(spec: BinSpec) -> Mesh:
    """The bin as a watertight mesh in metres, in the world frame of this module."""
    top = spec.height_m
    outside = _frustum(spec, -spec.wall_m, top, spec.wall_m, spec.corner_m + spec.wall_m)
    body = outside + _rim(spec, top)
    if spec.front_top_m < top:
        body = (body - _front_opening(spec)) + _front_lip(spec)
    inside = _frustum(spec, 0.0, top + 0.01, 0.0, spec.corner_m)
    return _to_mesh(body - inside)


def _frustum(spec: BinSpec, low_m: float, high_m: float, grow_m: float, corner_m: float) -> Manifold:
    """The inner space between two heights, its walls moved outwards by grow_m."""
    return Manifold.hull_points(np.concatenate([_ring(spec, z, grow_m, corner_m) for z in (low_m, high_m)]))


def _ring(spec: BinSpec, z_m: float, grow_m: float, corner_m: float) -> FloatArray:
    """Horizontal section (4 * 6, 3) of the inner space grown by grow_m, with round corners."""
    low, high = spec.inner_bounds(z_m)
    low, high = low - grow_m + corner_m, high + grow_m - corner_m
    corners = np.array([[high[0], high[1]], [low[0], high[1]], [low[0], low[1]], [high[0], low[1]]])
    angle = np.linspace(0.0, np.pi / 2.0, 6) + np.arange(4)[:, None] * np.pi / 2.0
    points = corners[:, None] + corner_m * np.stack([np.cos(angle), np.sin(angle)], -1)
    return np.insert(points.reshape(-1, 2), 2, z_m, axis=1)


def _rim(spec: BinSpec, top_m: float) -> Manifold:
    """A flange around the top; empty without a rim."""
    if spec.rim_m == 0.0:
        return Manifold()
    grow = spec.wall_m + spec.rim_m
    ring = _ring(spec, top_m, grow, spec.corner_m + grow)
    return Manifold.hull_points(np.concatenate([ring, ring - [0.0, 0.0, 1.5 * spec.wall_m]]))


def _front_opening(spec: BinSpec) -> Manifold:
    """The volume that is cut away above a low front wall; the side walls end where the front wall's top begins."""
    start = spec.inner_bounds(spec.front_top_m)[1][0] - 2.0 * spec.wall_m
    return Manifold.cube((10.0, 10.0, 10.0)).translate((start, -5.0, spec.front_top_m))


def _front_lip(spec: BinSpec) -> Manifold:
    """A rounded bead along the top of a low front wall."""
    (_, low_y), (front, high_y) = spec.inner_bounds(spec.front_top_m)
    depth, height = spec.wall_m + 0.5 * spec.rim_m, 1.5 * spec.wall_m
    lip = Manifold.cube((depth, high_y - low_y + 2.0 * spec.wall_m, height))
    return lip.translate((front, low_y - spec.wall_m, spec.front_top_m - height))


def _to_mesh(solid: Manifold) -> Mesh:
    raw = solid.simplify(1e-6).to_mesh64()
    vertices = np.asarray(raw.vert_properties)[:, :3].astype(np.float32)
    return Mesh(vertices, np.asarray(raw.tri_verts).astype(np.int32))


def random_bin(rng: np.random.Generator, part_diameters_m: Sequence[float], n_parts: int) -> BinSpec:
    """A bin in which n_parts parts lie one to three deep, within `FLOOR_LIMITS_M`.

    Args:
        rng: random number generator.
        part_diameters_m: diameters, one per part type or one per instance.
        n_parts: number of instances.
    """
    diameters = np.asarray(part_diameters_m, dtype=np.float64)
    if diameters.size == 0 or n_parts < 1 or not np.all(diameters > 0.0):
        raise BinposeError(f"random_bin expects positive diameters and n_parts >= 1, got {diameters}, {n_parts}.")
    # A randomly oriented part covers about a third of its diameter squared; layers is the depth of the pile.
    layers = rng.uniform(0.8, 2.2)
    area = n_parts * 0.33 * float(np.mean(diameters**2)) / layers
    aspect = rng.uniform(1.0, 1.9)
    shortest = 1.15 * float(diameters.max())
    width = max(np.sqrt(area / aspect), shortest)
    length = max(area / width, 1.05 * width)
    # Height for a heap: half a diameter per layer, and a rim above it. Commercial bins are 40 to 300 mm high, which is
    # too high for parts of a few millimetres and too low for parts of a metre.
    mean = float(np.mean(diameters))
    lowest, highest = min(0.04, 4.0 * mean), max(0.3, 0.6 * mean)
    height = float(np.clip((0.45 + 0.35 * layers) * mean * rng.uniform(0.9, 1.6), lowest, min(highest, 2.0)))
    storage = rng.random() < 0.35
    taper, rim = rng.uniform(0.0, 0.14), rng.uniform(0.004, 0.015)
    return BinSpec(
        length_m=float(np.clip(length, *FLOOR_LIMITS_M)),
        width_m=float(np.clip(width, *FLOOR_LIMITS_M)),
        height_m=height,
        wall_m=rng.uniform(0.002, 0.005),
        taper_rad=taper,
        front_slope_rad=rng.uniform(0.4, 0.8) if storage else taper,
        front_height_m=height * rng.uniform(0.5, 0.9) if storage else 0.0,
        rim_m=rim if rng.random() < 0.5 else 0.0,
        corner_m=rng.uniform(0.001, 0.004),
    )
