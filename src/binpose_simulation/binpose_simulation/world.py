"""The MuJoCo world of one pile: free bodies, a floor, the bin's walls, and guides for falling parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import (
    FloatArray,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    rotation_from_quat_xyzw,
)
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.bins import BinSpec, Wall, bin_walls
from binpose_simulation.mesh_bins import MeshBin
from binpose_simulation.placement import BodyType
from binpose_simulation.world_model import (
    GRAVITY_M_S2,
    Surface,
    add_guides,
    add_parts,
    add_static,
    empty_world,
    quiet,
    wall_boxes,
)

CHECKS_PER_WINDOW = 4


class UnstableError(Exception):
    """The simulation diverged."""


@dataclass(frozen=True)
class Contact:
    """friction: sliding coefficient; damping_ratio: 1 for no bounce."""

    friction: float
    damping_ratio: float


@dataclass(frozen=True)
class WorldConfig:
    """Time integration and rest criterion.

    Attributes:
        timestep_s: of the integration.
        max_time_s: simulated time after which the simulation ends, settled or not.
        rest_motion_m: a part rests when none of its points moves farther than this within rest_window_s.
        rest_window_s: see rest_motion_m.
        max_damping_per_s: final damping rate. Damping grows with time, because with MuJoCo's soft friction piles creep
            by millimetres per second, and rings and rods roll for long. At 200 per second, unsupported parts still
            fall at 50 mm/s, six times too fast to count as resting.
        density_kg_m3: of all parts; it hardly affects the motion.
        heap_m: largest height of a part's centre of mass above the rim.
    """

    timestep_s: float = 0.002
    max_time_s: float = 3.0
    rest_motion_m: float = 0.001
    rest_window_s: float = 0.12
    max_damping_per_s: float = 200.0
    density_kg_m3: float = 2700.0
    heap_m: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0.0:
                raise BinposeError(f"{name} must be positive, got {value}.")
        if self.timestep_s > 0.006:
            raise BinposeError(f"timestep_s must be at most 0.006: parts sink into each other, got {self.timestep_s}.")

    def finer(self, factor: float) -> "WorldConfig":
        """The same settings with a time step `factor` times as long."""
        return replace(self, timestep_s=self.timestep_s * factor)


class World:
    """The simulated world of a pile.

    Args:
        bodies: N instances; equal entries reuse their meshes.
        bin_shape: walls from its dimensions, or the convex pieces of a mesh.
        contact: friction and bounce.
        config: time integration and rest criterion.
    """

    def __init__(
        self, bodies: Sequence[BodyType], bin_shape: BinSpec | MeshBin, contact: Contact, config: WorldConfig
    ) -> None:
        import mujoco

        self._mujoco: Any = mujoco
        self._config, self._contact = config, contact
        self._bin = bin_shape.spec if isinstance(bin_shape, MeshBin) else bin_shape
        self._walls = bin_walls(self._bin)
        pieces = bin_shape.pieces if isinstance(bin_shape, MeshBin) else ()
        with quiet(mujoco):
            self._model = _description(mujoco, bodies, self._walls, pieces, contact, config).compile()
        self._data = mujoco.MjData(self._model)
        self._first = self._model.nbody - len(bodies)
        self._radius = np.array([body.radius_m for body in bodies])
        # Damping per unit of mass and inertia slows heavy and light parts equally.
        mass, inertia = self._model.body_mass[self._first :], self._model.body_inertia[self._first :]
        self._inertia = np.concatenate([np.tile(mass[:, None], 3), np.tile(inertia.max(1)[:, None], 3)], axis=1)

    @property
    def time_s(self) -> float:
        """Simulated time."""
        return float(self._data.time)

    def run(self, T_world_obj: FloatArray, velocity: FloatArray) -> bool:
        """Simulate from poses (N, 4, 4) and velocities (N, 6) until all rest or the time is over; True when all rest.

        Raises:
            UnstableError: if velocities diverge.
        """
        qpos = self._data.qpos.reshape(-1, 7)
        qpos[:, :3] = T_world_obj[:, :3, 3]
        qpos[:, 3:] = np.roll(quat_xyzw_from_rotation(T_world_obj[:, :3, :3]), 1, axis=-1)
        self._data.qvel.reshape(-1, 6)[:] = velocity
        with quiet(self._mujoco):
            return self._simulate(_fall_time(T_world_obj, velocity, self._bin))

    def poses(self) -> FloatArray:
        """Current T_world_obj (N, 4, 4)."""
        qpos = self._data.qpos.reshape(-1, 7)
        rotation = rotation_from_quat_xyzw(np.roll(qpos[:, 3:], -1, axis=-1))
        return from_rotation_translation(rotation, qpos[:, :3].copy())

    def inside(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a centre of mass is between the walls, over the floor and at most heap_m above the rim."""
        centers = self._data.xipos[self._first :]
        inside = (centers[:, 2] > 0.0) & (centers[:, 2] < self._bin.height_m + self._config.heap_m)
        for wall in self._walls:
            inside &= (centers - wall.point) @ wall.normal > 0.0
        return inside

    def penetration_m(self) -> FloatArray:
        """(N,) deepest overlap of each body with another, a wall or the floor."""
        self._mujoco.mj_forward(self._model, self._data)
        depth, contacts = np.zeros(self._model.nbody), self._data.contact
        for side in (0, 1):
            np.maximum.at(depth, self._model.geom_bodyid[contacts.geom[:, side]], -contacts.dist)
        return depth[self._first :]

    def _simulate(self, guide_until_s: float) -> bool:
        model, data, config = self._model, self._data, self._config
        steps = max(1, round(config.rest_window_s / config.timestep_s / CHECKS_PER_WINDOW))
        damping = model.dof_damping.reshape(-1, 6)
        history: list[FloatArray] = []
        while data.time < config.max_time_s:
            self._step(steps)
            since = data.time - guide_until_s
            if since < 0.0:
                continue
            data.mocap_pos[:, 2] = -100.0  # remove the guides: nothing may lean on them
            damping[:] = self._inertia * min(config.max_damping_per_s, 60.0 * max(since - 0.1, 0.0) ** 2)
            if since > 0.3:
                model.geom_solref[:, 1] = 1.0  # no more bouncing: it keeps the pile moving
            history = [*history[-CHECKS_PER_WINDOW:], data.qpos.reshape(-1, 7).copy()]
            if len(history) > CHECKS_PER_WINDOW and self._at_rest(history):
                return True
        return False

    def _step(self, steps: int) -> None:
        self._mujoco.mj_step(self._model, self._data, nstep=steps)
        if self._data.warning.number.any() or np.abs(self._data.qvel).max() > 1e4:
            raise UnstableError(f"at {self._data.time:.3f} s")

    def _at_rest(self, history: Sequence[FloatArray]) -> bool:
        """Whether no part in the bin moved since any of the earlier qpos (N, 7)."""
        inside = self.inside()
        now = history[-1][inside]
        for before in history[:-1]:
            shift = np.linalg.norm(now[:, :3] - before[inside, :3], axis=1)
            turn = 2.0 * np.linalg.norm(now[:, 3:] - before[inside, 3:], axis=1)
            if np.any(shift + turn * self._radius[inside] > self._config.rest_motion_m):
                return False
        return True


def _fall_time(T_world_obj: FloatArray, velocity: FloatArray, spec: BinSpec) -> float:
    """Time in seconds until the highest part has fallen well below the rim."""
    height = max(float(T_world_obj[:, 2, 3].max()) - 0.5 * spec.height_m, 0.0)
    speed = float(-velocity[:, 2].max())
    return float((np.sqrt(speed**2 + 2.0 * GRAVITY_M_S2 * height) - speed) / GRAVITY_M_S2) + 0.05


def _description(
    mujoco: Any,
    bodies: Sequence[BodyType],
    walls: Sequence[Wall],
    bin_pieces: Sequence[Mesh],
    contact: Contact,
    config: WorldConfig,
) -> Any:
    """The MjSpec: options, floor, walls (or the bin's pieces), guides, and one free body per instance."""
    spec = empty_world(mujoco, config.timestep_s)
    spec.option.iterations, spec.option.ls_iterations = 20, 10
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    surface = Surface(contact.friction, contact.damping_ratio).of_geometry(config.timestep_s)
    add_static(mujoco, spec, wall_boxes(walls), bin_pieces, surface)
    add_guides(mujoco, spec, walls, surface)
    add_parts(mujoco, spec, bodies, config.density_kg_m3, surface)
    return spec
