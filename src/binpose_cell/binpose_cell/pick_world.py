"""The physics of a bin and of a hand that picks from it (MuJoCo).

World frame as in `binpose_simulation.bins`: z up, the floor's inner surface at z = 0, the bin's centre at the origin.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_cell.config import GripConfig
from binpose_cell.hand_model import FINGERS, HAND, STIFFNESS_N_PER_M, add_hand
from binpose_core.geometry.transforms import (
    FloatArray,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    rotation_from_quat_xyzw,
)
from binpose_grasping.gripper import GripperConfig
from binpose_simulation.bins import BinSpec, bin_walls
from binpose_simulation.placement import BodyType
from binpose_simulation.world import UnstableError
from binpose_simulation.world_model import Surface, add_parts, add_static, empty_world, quiet, wall_frame

AWAY_M = 100.0
"""Height of removed parts, where no camera looks."""
PEAK = 1.875
"""Largest speed of a smooth motion, relative to its mean."""
REST_M_S = 0.002
OnStep = Callable[["PickWorld"], None]


class PickWorld:
    """A bin with parts, and a hand above it.

    Args:
        bodies: N parts; equal entries reuse their meshes.
        bin_spec: the bin.
        T_world_obj: (N, 4, 4) of the parts.
        gripper: the hand.
        config: physics.
        on_step: called with this world after each step of the simulation.
    """

    def __init__(
        self,
        bodies: Sequence[BodyType],
        bin_spec: BinSpec,
        T_world_obj: FloatArray,
        gripper: GripperConfig | None = None,
        config: GripConfig | None = None,
        on_step: OnStep | None = None,
    ) -> None:
        import mujoco

        self._mujoco: Any = mujoco
        self.bin, self.gripper, self.config = bin_spec, gripper or GripperConfig(), config or GripConfig()
        self._on_step = on_step
        with quiet(mujoco):
            self._model = _described(mujoco, bodies, bin_spec, self.gripper, self.config).compile()
        self._data = mujoco.MjData(self._model)
        self._count, first = len(bodies), self._model.nbody - len(bodies)
        self._part_of = np.full(self._model.nbody, -1)
        self._part_of[first:] = np.arange(len(bodies))
        self._hand, self._fingers = self._body(HAND), [self._body(name) for name in FINGERS]
        self._present = np.ones(len(bodies), np.bool_)
        mass, inertia = self._model.body_mass[first:], self._model.body_inertia[first:]
        self._inertia = np.concatenate([np.tile(mass[:, None], 3), np.tile(inertia.max(1)[:, None], 3)], axis=1)
        self._set_poses(self._qpos, T_world_obj)
        self.park_hand()

    @property
    def time_s(self) -> float:
        """Simulated time."""
        return float(self._data.time)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """(N,) which parts were not removed."""
        return self._present.copy()

    def poses(self) -> FloatArray:
        """Current T_world_obj (N, 4, 4); removed parts are far above."""
        return _matrices(self._qpos)

    def hand_pose(self) -> FloatArray:
        """Current T_world_hand (4, 4)."""
        return _matrices(self._data.qpos[None, :7])[0]

    def width_m(self) -> float:
        """Current distance of the fingers."""
        return float(self._data.qpos[7:9].sum())

    def centers(self) -> FloatArray:
        """(N, 3) centres of mass."""
        self._mujoco.mj_kinematics(self._model, self._data)
        return self._data.xipos[self._model.nbody - self._count :].copy()

    def lowest_m(self, part: int) -> float:
        """Height of the lowest point of a part."""
        self._mujoco.mj_kinematics(self._model, self._data)
        geoms = np.flatnonzero(self._part_of[self._model.geom_bodyid] == part)
        return min(self._lowest_of(int(geom)) for geom in geoms)

    def put_hand(self, T_world_hand: FloatArray, width_m: float) -> None:
        """Place the hand at rest, without a motion."""
        self._place(self._data, T_world_hand, width_m)
        self._data.qvel[:8] = 0.0
        self._data.mocap_pos[0], self._data.mocap_quat[0] = self._data.qpos[:3], self._data.qpos[3:7]
        self._data.ctrl[:] = width_m / 2

    def park_hand(self) -> None:
        """Place the open hand beside the camera's view."""
        self.put_hand(hover(self.bin), self.gripper.opening_m)

    def overlap_m(self, T_world_hand: FloatArray, width_m: float) -> float:
        """Deepest overlap of the open hand with bin, floor and parts at poses (W, 4, 4); nothing moves."""
        data, deepest = self._mujoco.MjData(self._model), 0.0
        data.qpos[:] = self._data.qpos
        own = np.isin(self._model.geom_bodyid, [self._hand, *self._fingers])
        for T in T_world_hand:
            self._place(data, T, width_m)
            self._mujoco.mj_kinematics(self._model, data)
            self._mujoco.mj_collision(self._model, data)
            touched = own[data.contact.geom].any(axis=1)
            deepest = max(deepest, -float(data.contact.dist[touched].min(initial=0.0)))
        return deepest

    def move_hand(self, position_m: FloatArray, speed_m_s: float) -> None:
        """Move the hand smoothly on a straight line to a position (3,)."""
        start = self._data.mocap_pos[0].copy()
        duration_s = PEAK * float(np.linalg.norm(position_m - start)) / speed_m_s
        steps = max(1, round(duration_s / self.config.timestep_s))
        for t in np.arange(1, steps + 1) / steps:
            self._data.mocap_pos[0] = start + t**3 * (10 - 15 * t + 6 * t**2) * (position_m - start)
            self._step()

    def shake_hand(self, amplitude_m: float, frequency_hz: float, oscillations: int) -> None:
        """Move the hand back and forth along each of its axes."""
        start, axes = self._data.mocap_pos[0].copy(), self.hand_pose()[:3, :3].T
        steps = round(oscillations / frequency_hz / self.config.timestep_s)
        for axis in axes:
            for phase in 2 * np.pi * oscillations * np.arange(1, steps + 1) / max(steps, 1):
                fade = min(1.0, phase / np.pi, (2 * np.pi * oscillations - phase) / np.pi)
                self._data.mocap_pos[0] = start + fade * amplitude_m * np.sin(phase) * axis
                self._step()

    def close_fingers(self, longest_s: float = 1.5, still_s: float = 0.05) -> None:
        """Close with full force until the fingers stand still."""
        self._data.ctrl[:] = -2 * self.config.force_n / STIFFNESS_N_PER_M
        self._until(lambda: bool(np.abs(self._data.qvel[6:8]).max() < REST_M_S), longest_s, still_s)

    def open_fingers(self, width_m: float, longest_s: float = 1.0) -> None:
        """Open to a distance of the fingers, as far as the hand can."""
        width_m = min(width_m, self.gripper.opening_m)
        self._data.ctrl[:] = width_m / 2 + 0.001
        self._until(lambda: self.width_m() >= width_m - 1e-4, longest_s, 0.0)

    def settle(self, longest_s: float = 1.5, damping_per_s: float = 200.0) -> None:
        """Let the parts come to rest under growing damping, and hold them there."""
        damping, began = self._model.dof_damping[8:].reshape(-1, 6), self.time_s
        parts = self._data.qvel[8:].reshape(-1, 6)
        while self.time_s < began + longest_s:
            for _ in range(10):
                self._step()
            damping[:] = self._inertia * min(damping_per_s, 60.0 * (self.time_s - began) ** 2 * 10)
            if self.time_s > began + 0.2 and np.abs(parts[self._present, :3]).max(initial=0.0) < 5 * REST_M_S:
                break
        damping[:] = 0.0
        parts[:] = 0.0

    def held(self) -> list[int]:
        """The parts that touch both fingers."""
        bodies = self._model.geom_bodyid[self._data.contact.geom]
        touching = []
        for finger in self._fingers:
            pairs = bodies[(bodies == finger).any(axis=1)]
            touching.append(set(self._part_of[pairs[pairs != finger]].tolist()) - {-1})
        return sorted(touching[0] & touching[1])

    def remove(self, part: int) -> None:
        """Take a part out of the world."""
        self._present[part] = False
        T = np.eye(4)
        T[:3, 3] = part, 0.0, AWAY_M
        self._set_poses(self._qpos[part : part + 1], T[None])
        self._data.qvel[8:].reshape(-1, 6)[part] = 0.0
        body = self._model.nbody - self._count + part
        self._model.body_gravcomp[body] = 1.0
        geoms = self._model.geom_bodyid == body
        self._model.geom_contype[geoms] = self._model.geom_conaffinity[geoms] = 0

    @property
    def _qpos(self) -> FloatArray:
        return self._data.qpos[9:].reshape(-1, 7)

    def _body(self, name: str) -> int:
        return int(self._mujoco.mj_name2id(self._model, self._mujoco.mjtObj.mjOBJ_BODY, name))

    def _place(self, data: Any, T_world_hand: FloatArray, width_m: float) -> None:
        self._set_poses(data.qpos[None, :7], T_world_hand[None])
        data.qpos[7:9] = width_m / 2

    @staticmethod
    def _set_poses(qpos: FloatArray, T: FloatArray) -> None:
        qpos[:, :3] = T[:, :3, 3]
        qpos[:, 3:] = np.roll(quat_xyzw_from_rotation(T[:, :3, :3]), 1, axis=-1)

    def _lowest_of(self, geom: int) -> float:
        mesh = self._model.geom_dataid[geom]
        first, count = self._model.mesh_vertadr[mesh], self._model.mesh_vertnum[mesh]
        vertices = self._model.mesh_vert[first : first + count] @ self._data.geom_xmat[geom].reshape(3, 3).T
        return float(vertices[:, 2].min() + self._data.geom_xpos[geom, 2])

    def _until(self, done: Callable[[], bool], longest_s: float, still_s: float) -> None:
        began = since = self.time_s
        while self.time_s < began + longest_s:
            self._step()
            if not done():
                since = self.time_s
            elif self.time_s - since >= still_s:
                return

    def _step(self) -> None:
        with quiet(self._mujoco):
            self._mujoco.mj_step(self._model, self._data)
        if self._data.warning.number.any() or np.abs(self._data.qvel).max() > 1e4:
            raise UnstableError(f"at {self._data.time:.3f} s")
        if self._on_step is not None:
            self._on_step(self)


def hover(spec: BinSpec) -> FloatArray:
    """T_world_hand (4, 4) of the waiting hand, beside the camera's view."""
    rotation = np.diag([1.0, -1.0, -1.0])
    return from_rotation_translation(rotation, np.array([0.0, spec.width_m + 0.6, spec.height_m + 0.6]))


def thin_walls(spec: BinSpec) -> list[tuple[FloatArray, FloatArray]]:
    """The walls as boxes with their thickness that end at the corners."""
    low, high = spec.inner_bounds(spec.height_m)
    boxes = []
    for wall in bin_walls(spec):
        along = np.abs(np.cross(wall.normal, [0.0, 0.0, 1.0]))
        half_along = float((high - low) @ along[:2] / np.linalg.norm(along)) / 2 + spec.wall_m
        slant_m = wall.top_m / float(np.linalg.norm(wall.normal[:2]))
        half = np.array([half_along, slant_m / 2 + spec.wall_m, spec.wall_m / 2])
        boxes.append((wall_frame(wall, half), half))
    return boxes


def _described(
    mujoco: Any, bodies: Sequence[BodyType], bin_spec: BinSpec, gripper: GripperConfig, config: GripConfig
) -> Any:
    """The MjSpec: elliptic friction cones, and Newton's method, so that a grip holds."""
    spec = empty_world(mujoco, config.timestep_s)
    spec.option.solver, spec.option.cone = mujoco.mjtSolver.mjSOL_NEWTON, mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio, spec.option.noslip_iterations = config.impratio, config.noslip_iterations
    surface = Surface(config.part_friction, 1.0).of_geometry(config.timestep_s)
    add_static(mujoco, spec, thin_walls(bin_spec), (), surface)
    add_hand(mujoco, spec, gripper, config)
    add_parts(mujoco, spec, bodies, config.density_kg_m3, surface)
    return spec


def _matrices(qpos: FloatArray) -> FloatArray:
    rotation = rotation_from_quat_xyzw(np.roll(qpos[:, 3:], -1, axis=-1))
    return from_rotation_translation(rotation, qpos[:, :3].copy())
