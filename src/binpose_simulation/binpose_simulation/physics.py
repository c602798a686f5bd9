"""Piles of parts in a bin by rigid-body physics (MuJoCo).

World frame as in `bins`: z up, the floor's inner surface at z = 0, the bin's centre at the origin. The same seed gives
the same result on the same machine.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.bins import BinSpec
from binpose_simulation.decomposition import convex_pieces
from binpose_simulation.mesh_bins import MeshBin
from binpose_simulation.placement import BodyType, bundled, laid, poured
from binpose_simulation.world import Contact, UnstableError, World, WorldConfig

__all__ = ["PhysicsConfig", "Settled", "convex_pieces", "settle"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhysicsConfig:
    """How a bin is filled.

    Attributes:
        laid_fraction: probability that the parts are packed in rows.
        bundled_fraction: probability that they are dropped in parallel bundles; otherwise they are poured.
        friction: range of the sliding friction coefficient, one value per pile.
        damping_ratio: range of the contacts' damping ratio; below 1 parts bounce.
        drop_speed_m_s: initial downward speed of poured parts; bundles have a tenth of it.
        tumble_rad_s: standard deviation of their angular velocity.
        max_penetration_m: parts with a deeper overlap are removed from the pile.
        world: time step, damping and rest criterion.
    """

    laid_fraction: float = 0.1
    bundled_fraction: float = 0.15
    friction: tuple[float, float] = (0.25, 0.7)
    damping_ratio: tuple[float, float] = (0.5, 1.0)
    drop_speed_m_s: float = 1.0
    tumble_rad_s: float = 3.0
    max_penetration_m: float = 0.001
    world: WorldConfig = field(default_factory=WorldConfig)

    def __post_init__(self) -> None:
        laid_fraction, bundled_fraction = self.laid_fraction, self.bundled_fraction
        if min(laid_fraction, bundled_fraction) < 0.0 or laid_fraction + bundled_fraction > 1.0:
            raise BinposeError(
                f"laid_fraction and bundled_fraction must be >= 0 and sum to at most 1, got {laid_fraction}, "
                f"{bundled_fraction}."
            )
        for name in ("friction", "damping_ratio"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise BinposeError(f"{name} must be a range 0 < low <= high, got ({low}, {high}).")
        for name in ("drop_speed_m_s", "tumble_rad_s"):
            if getattr(self, name) < 0.0:
                raise BinposeError(f"{name} must not be negative, got {getattr(self, name)}.")
        if self.max_penetration_m <= 0.0:
            raise BinposeError(f"max_penetration_m must be positive, got {self.max_penetration_m}.")


@dataclass(frozen=True)
class Settled:
    """Result of the physics.

    Attributes:
        T_world_obj: (N, 4, 4) for all instances, kept or not.
        kept: (N,) bool, False for those that left the bin or penetrate something deeper than the tolerance.
        settled: whether every part in the bin was at rest when the simulation ended.
        penetration_m: (N,) deepest overlap of each instance.
        duration_s: simulated time.
    """

    T_world_obj: FloatArray
    kept: npt.NDArray[np.bool_]
    settled: bool
    penetration_m: FloatArray
    duration_s: float


def settle(
    bodies: Sequence[Sequence[Mesh]],
    bin_shape: BinSpec | MeshBin,
    rng: np.random.Generator,
    config: PhysicsConfig | None = None,
) -> Settled:
    """Fill a bin with bodies, poured, in bundles or in rows, and simulate until they rest.

    Args:
        bodies: N instances, each the convex pieces of its part in the part's frame (`convex_pieces`, metres).
            Instances of one type should be the same sequence object, which groups them and reuses collision meshes.
        bin_shape: a bin by its dimensions or by a user's mesh.
        rng: for arrangement, poses, friction and restitution.
        config: how the bin is filled and when the pile counts as settled.

    Raises:
        BinposeError: for no bodies, a body without pieces, or a simulation that stays unstable.
    """
    if not bodies or not all(len(pieces) > 0 for pieces in bodies):
        raise BinposeError(f"settle needs bodies of at least one convex piece each, got {len(bodies)} bodies.")
    config = config or PhysicsConfig()
    types = {id(pieces): BodyType.of(pieces) for pieces in bodies}
    instances = [types[id(pieces)] for pieces in bodies]
    for attempt in range(4):
        try:
            return _attempt(instances, bin_shape, rng, config, attempt)
        except UnstableError as error:
            _LOG.info("A pile was unstable (%s) and is simulated again with half the time step.", error)
    raise BinposeError(
        f"The physics of {len(bodies)} bodies stays unstable; are some thinner than 0.2 mm or 1000 times too large?"
    )


def _attempt(
    bodies: Sequence[BodyType],
    bin_shape: BinSpec | MeshBin,
    rng: np.random.Generator,
    config: PhysicsConfig,
    attempt: int,
) -> Settled:
    """One attempt; later attempts halve the time step."""
    spec = bin_shape.spec if isinstance(bin_shape, MeshBin) else bin_shape
    contact = Contact(rng.uniform(*config.friction), rng.uniform(*config.damping_ratio))
    T_world_obj, velocity = _start(bodies, spec, rng, config)
    world = World(bodies, bin_shape, contact, config.world.finer(0.5**attempt))
    settled = world.run(T_world_obj, velocity)
    penetration = world.penetration_m()
    kept = world.inside() & (penetration < config.max_penetration_m)
    return Settled(world.poses(), kept, settled, penetration, world.time_s)


def _start(
    bodies: Sequence[BodyType], spec: BinSpec, rng: np.random.Generator, config: PhysicsConfig
) -> tuple[FloatArray, FloatArray]:
    """Initial poses T_world_obj (N, 4, 4) and velocities (N, 6), linear then angular."""
    velocity = np.zeros((len(bodies), 6))
    kind = rng.random()
    if kind < config.laid_fraction:
        return laid(bodies, spec, rng), velocity
    if kind < config.laid_fraction + config.bundled_fraction:
        velocity[:, 2] = (
            -0.1 * config.drop_speed_m_s
        )  # slow: at the speed of poured parts, half of the pins would lose their neighbours
        return bundled(bodies, spec, rng), velocity
    velocity[:, 2] = -config.drop_speed_m_s
    velocity[:, 3:] = rng.normal(scale=config.tumble_rad_s, size=(len(bodies), 3))
    return poured(bodies, spec, rng), velocity
