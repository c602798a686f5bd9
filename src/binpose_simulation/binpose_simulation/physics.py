"""Settleds of parts in a bin by rigid-body physics (MuJoCo).

World frame as in `bins`: z up, the floor's inner surface at z = 0, the bin's centre at the origin. Drops are
reproducible for a seed on the same machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.errors import BinposeError
from binpose_core.geometry import from_rotation_translation, quat_xyzw_from_rotation, rotation_from_quat_xyzw
from binpose_core.meshes import Mesh
from binpose_simulation.bins import BinSpec, bin_walls
from binpose_simulation.decomposition import convex_pieces
from binpose_simulation.placement import BodyType, PhysicsConfig, initial_poses

__all__ = ["PhysicsConfig", "Settled", "convex_pieces", "settle"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Settled:
    """Where the parts came to lie.

    Attributes:
        T_world_obj: (N, 4, 4) for all instances, kept or not.
        kept: (N,) bool, False for those that left the bin or stick in another by more than the tolerance.
        settled: every kept instance was at rest when the simulation ended.
        penetration_m: (N,) deepest overlap of each instance with anything.
        duration_s: simulated time.
    """

    T_world_obj: FloatArray
    kept: npt.NDArray[np.bool_]
    settled: bool
    penetration_m: FloatArray
    duration_s: float


def settle(
    bodies: Sequence[Sequence[Mesh]], bin_spec: BinSpec, rng: np.random.Generator, config: PhysicsConfig | None = None
) -> Settled:
    """Drop bodies into a bin, or lay them there tidily, and wait until they rest.

    Args:
        bodies: N instances, each the convex pieces of its part in the part's frame (`convex_pieces`, metres).
            Instances of one type should be the same sequence object: they then share their collision meshes.
        bin_spec: the bin.
        rng: order, poses, friction and restitution come from it.
        config: how the pile is made and when it counts as settled.

    Raises:
        BinposeError: no bodies, or one without pieces.
    """
    if not bodies or not all(len(pieces) > 0 for pieces in bodies):
        raise BinposeError(f"settle needs bodies of at least one convex piece each, got {len(bodies)} bodies.")
    config = config or PhysicsConfig()
    types = {id(pieces): BodyType.of(pieces) for pieces in bodies}
    world = _World([types[id(pieces)] for pieces in bodies], rng, config)
    return world.drop(bin_spec, rng)


class _World:
    """A compiled MuJoCo model of N free parts and four movable walls over a floor."""

    def __init__(self, bodies: Sequence[BodyType], rng: np.random.Generator, config: PhysicsConfig) -> None:
        import mujoco

        self.mujoco: Any = mujoco
        self.bodies, self.config = list(bodies), config
        self.model = _spec(mujoco, bodies, rng, config).compile()
        self.data = mujoco.MjData(self.model)
        self.body_of_geom = self.model.geom_bodyid.copy()
        count = len(bodies)
        self.first_body = self.model.nbody - count
        # Damping per unit of mass and inertia: the same slowing-down for heavy and light parts.
        mass, inertia = self.model.body_mass[self.first_body :], self.model.body_inertia[self.first_body :]
        self.inertia = np.concatenate([np.tile(mass[:, None], 3), np.tile(inertia.max(1)[:, None], 3)], axis=1)

    def drop(self, bin_spec: BinSpec, rng: np.random.Generator) -> Settled:
        """Run one drop from new random poses."""
        self.mujoco.mj_resetData(self.model, self.data)
        self._place_walls(bin_spec)
        T_world_obj, velocity = initial_poses(self.bodies, bin_spec, rng, self.config)
        qpos = self.data.qpos.reshape(-1, 7)
        qpos[:, :3] = T_world_obj[:, :3, 3]
        qpos[:, 3:] = np.roll(quat_xyzw_from_rotation(T_world_obj[:, :3, :3]), 1, axis=-1)
        self.data.qvel.reshape(-1, 6)[:] = velocity
        settled = self._simulate(bin_spec, guide_until_s=_fall_time(T_world_obj, velocity, bin_spec))
        return self._result(bin_spec, settled)

    def _place_walls(self, spec: BinSpec) -> None:
        """Real walls up to the rim, and upright guides above it that lead falling parts in."""
        thick = _WALL_HALF_M[2]
        for k, wall in enumerate(bin_walls(spec)):
            outward = np.array([*wall.normal[:2], 0.0]) / -np.linalg.norm(wall.normal[:2])
            along = np.cross([0.0, 0.0, 1.0], outward)
            up = np.cross(wall.normal, along)
            up *= np.sign(up[2])
            top = wall.point + up * (wall.top_m / up[2])
            center = top - up * _WALL_HALF_M[1] - wall.normal * thick
            self._set_mocap(k, center, np.stack([np.cross(up, wall.normal), up, wall.normal], 1))
            guide = top + outward * thick + [0.0, 0.0, _WALL_HALF_M[1]]
            self._set_mocap(k + 4, guide, np.stack([np.cross([0, 0, 1.0], -outward), [0, 0, 1.0], -outward], 1))

    def _set_mocap(self, index: int, position: FloatArray, rotation: FloatArray) -> None:
        self.data.mocap_pos[index] = position
        self.data.mocap_quat[index] = np.roll(quat_xyzw_from_rotation(rotation), 1)

    def _simulate(self, spec: BinSpec, guide_until_s: float) -> bool:
        """Step until everything in the bin rests or the time is over; True when it rests."""
        mujoco, model, data, config = self.mujoco, self.model, self.data, self.config
        dof_damping, chunk = model.dof_damping.reshape(-1, 6), 10
        dof_damping[:] = 0.0
        guided, calm = True, 0
        while data.time < config.max_time_s:
            mujoco.mj_step(model, data, nstep=chunk)
            since = data.time - guide_until_s
            if guided and since > 0.0:
                data.mocap_pos[4:, 2] = -100.0
                guided = False
            # Air and rolling resistance grow with time: rings and rods roll for seconds otherwise.
            dof_damping[:] = self.inertia * float(np.clip((since - 0.1) * 30.0, 0.0, config.max_damping_per_s))
            calm = calm + 1 if not guided and self._at_rest(spec) else 0
            if calm >= 3:
                return True
        return False

    def _at_rest(self, spec: BinSpec) -> bool:
        inside = self._inside(spec, self.data.xipos[self.first_body :])
        velocity = self.data.qvel.reshape(-1, 6)[inside]
        linear, angular = np.abs(velocity[:, :3]).max(initial=0.0), np.abs(velocity[:, 3:]).max(initial=0.0)
        return bool(linear < self.config.rest_speed_m_s and angular < self.config.rest_spin_rad_s)

    def _inside(self, spec: BinSpec, centers: FloatArray) -> npt.NDArray[np.bool_]:
        """Which points (N, 3) lie between the walls, over the floor and not far above the rim."""
        inside = (centers[:, 2] > 0.0) & (centers[:, 2] < spec.height_m + self.config.heap_m)
        for wall in bin_walls(spec):
            inside &= (centers - wall.point) @ wall.normal > 0.0
        return inside

    def _result(self, spec: BinSpec, settled: bool) -> Settled:
        mujoco, model, data = self.mujoco, self.model, self.data
        mujoco.mj_forward(model, data)
        qpos = data.qpos.reshape(-1, 7)
        rotation = rotation_from_quat_xyzw(np.roll(qpos[:, 3:], -1, axis=-1))
        T_world_obj = from_rotation_translation(rotation, qpos[:, :3].copy())
        depth = np.zeros(model.nbody)
        for side in (0, 1):
            np.maximum.at(depth, self.body_of_geom[data.contact.geom[:, side]], -data.contact.dist)
        penetration = depth[self.first_body :]
        kept = self._inside(spec, data.xipos[self.first_body :]) & (penetration < self.config.max_penetration_m)
        return Settled(T_world_obj, kept, settled, penetration, float(data.time))


_WALL_HALF_M = (2.0, 2.0, 0.05)  # half sizes of every wall box: wide, tall, thick; only the inner face and top matter


def _fall_time(T_world_obj: FloatArray, velocity: FloatArray, spec: BinSpec) -> float:
    """When the highest part has fallen below the rim, in seconds."""
    height = max(float((T_world_obj[:, 2, 3]).max()) - 0.5 * spec.height_m, 0.0)
    speed = float(-velocity[:, 2].max())
    return (np.sqrt(speed**2 + 2.0 * 9.81 * height) - speed) / 9.81 + 0.05


def _spec(mujoco: Any, bodies: Sequence[BodyType], rng: np.random.Generator, config: PhysicsConfig) -> Any:
    """The MuJoCo description: options, floor, walls, guides and one free body per instance."""
    spec = mujoco.MjSpec()
    spec.option.timestep = config.timestep_s
    spec.option.iterations, spec.option.ls_iterations = 20, 10
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    friction = rng.uniform(*config.friction)
    contact = {
        "condim": 4,
        "friction": [friction, 0.002, 0.0001],
        "solref": [2.5 * config.timestep_s, rng.uniform(*config.damping_ratio)],
        "solimp": [0.9, 0.98, 0.001, 0.5, 2.0],
    }
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1], **contact)
    for _ in range(8):
        wall = spec.worldbody.add_body(mocap=True, pos=[0, 0, -100.0])
        wall.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=list(_WALL_HALF_M), **contact)
    names: dict[int, list[str]] = {}
    for body in bodies:
        if id(body) not in names:
            names[id(body)] = [_add_mesh(spec, f"t{len(names)}_{k}", piece) for k, piece in enumerate(body.pieces)]
        part = spec.worldbody.add_body()
        part.add_freejoint()
        for name in names[id(body)]:
            part.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, density=config.density_kg_m3, **contact)
    return spec


def _add_mesh(spec: Any, name: str, piece: Mesh) -> str:
    spec.add_mesh(name=name, uservert=piece.vertices.ravel(), userface=piece.faces.ravel())
    return name
