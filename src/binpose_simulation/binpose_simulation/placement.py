"""Where the parts of a pile start: dropped from a staggered column, or laid tidily side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.errors import BinposeError
from binpose_core.geometry import from_rotation_translation, random_rotation
from binpose_core.meshes import Mesh
from binpose_simulation.bins import BinSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BodyType:
    """What collisions and placement need of a part.

    Attributes:
        pieces: convex meshes in the part's frame (metres).
        points: (P, 3) all their corners.
        center_m: (3,) middle of their bounding box.
        radius_m: of the sphere around center_m that holds them.
    """

    pieces: tuple[Mesh, ...]
    points: FloatArray
    center_m: FloatArray
    radius_m: float

    @classmethod
    def of(cls, pieces: Sequence[Mesh]) -> "BodyType":
        """The body type of convex pieces."""
        points = np.concatenate([piece.vertices for piece in pieces]).astype(np.float64)
        center = (points.min(0) + points.max(0)) / 2.0
        return cls(tuple(pieces), points, center, float(np.linalg.norm(points - center, axis=1).max()))


@dataclass(frozen=True)
class PhysicsConfig:
    """How parts come to lie in a bin.

    Attributes:
        tidy_fraction: probability that a pile is laid tidily (side by side, rods in parallel) and not dropped.
        friction: range of the sliding friction coefficient, one value per pile.
        damping_ratio: range of the contacts' damping ratio; below 1 parts bounce.
        density_kg_m3: of all parts; motion hardly depends on it.
        drop_speed_m_s: downward speed at the start.
        timestep_s: of the integration.
        max_time_s: simulated time after which an unsettled pile is returned as it is.
        rest_speed_m_s, rest_spin_rad_s: below both, a part is at rest.
        max_damping_per_s: rate at which late motion dies out.
        max_penetration_m: a deeper overlap drops the part from the pile.
        heap_m: how far above the rim a part's centre of mass may lie.
    """

    tidy_fraction: float = 0.2
    friction: tuple[float, float] = (0.25, 0.7)
    damping_ratio: tuple[float, float] = (0.5, 1.0)
    density_kg_m3: float = 2700.0
    drop_speed_m_s: float = 1.0
    timestep_s: float = 0.003
    max_time_s: float = 4.0
    rest_speed_m_s: float = 0.01
    rest_spin_rad_s: float = 0.3
    max_damping_per_s: float = 12.0
    max_penetration_m: float = 0.0015
    heap_m: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 <= self.tidy_fraction <= 1.0:
            raise BinposeError(f"tidy_fraction must be in [0, 1], got {self.tidy_fraction}.")
        for name in ("friction", "damping_ratio"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise BinposeError(f"{name} must be a range 0 < low <= high, got ({low}, {high}).")
        for name in ("density_kg_m3", "timestep_s", "max_time_s", "rest_speed_m_s", "rest_spin_rad_s"):
            if getattr(self, name) <= 0.0:
                raise BinposeError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.timestep_s > 0.006:
            raise BinposeError(f"timestep_s above 0.006 lets parts sink into each other, got {self.timestep_s}.")


def initial_poses(
    bodies: Sequence[BodyType], spec: BinSpec, rng: np.random.Generator, config: PhysicsConfig
) -> tuple[FloatArray, FloatArray]:
    """Starting poses T_world_obj (N, 4, 4) and velocities (N, 6), linear then angular, without overlaps."""
    return dropped_poses(bodies, spec, rng, config)


def dropped_poses(
    bodies: Sequence[BodyType], spec: BinSpec, rng: np.random.Generator, config: PhysicsConfig
) -> tuple[FloatArray, FloatArray]:
    """Random orientations in layers of a loose grid above the floor, the bounding spheres apart."""
    order = rng.permutation(len(bodies))
    pitch = 2.05 * max(body.radius_m for body in bodies)
    low, high = spec.inner_bounds(0.5 * spec.height_m)
    cells = np.maximum(((high - low) // pitch).astype(int), 1)
    per_layer = int(cells.prod())
    room = np.maximum((high - low) / cells - pitch, 0.0)
    T_world_obj = np.zeros((len(bodies), 4, 4))
    for start in range(0, len(bodies), per_layer):
        members = order[start : start + per_layer]
        spots = rng.permutation(per_layer)[: len(members)]
        for member, spot in zip(members, spots, strict=True):
            cell = np.array(divmod(int(spot), int(cells[1])))
            xy = low + (cell + 0.5) * (high - low) / cells + rng.uniform(-0.5, 0.5, 2) * room
            z = (start // per_layer + 0.5) * pitch + 0.002
            rotation = random_rotation(rng)
            center = np.array([*xy, z])
            T_world_obj[member] = from_rotation_translation(rotation, center - rotation @ bodies[member].center_m)
    velocity = np.zeros((len(bodies), 6))
    velocity[:, 2] = -config.drop_speed_m_s
    velocity[:, 3:] = rng.normal(scale=3.0, size=(len(bodies), 3))
    return T_world_obj, velocity
