"""The physics of a bin and of a hand that picks from it (MuJoCo).

World frame as in `binpose_simulation.bins`: z up, the floor's inner surface at z = 0, the bin's centre at the origin.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_cell.arm_model import LINK
from binpose_cell.config import GripConfig
from binpose_cell.hand_carrier import Course, FreeHand, HandCarrier, OutOfReachError, matrices, states
from binpose_cell.hand_model import FINGERS, HAND, STIFFNESS_N_PER_M
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
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
FINGER_DOFS, CHECK_STEPS = 2, 5
"""Finger joints, and number of steps after which contacts of links are looked for."""
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
        carrier: of the hand; by default it flies freely.

    touched: names of an arm's links that have touched anything; the user clears it.
    """

    def __init__(
        self,
        bodies: Sequence[BodyType],
        bin_spec: BinSpec,
        T_world_obj: FloatArray,
        gripper: GripperConfig | None = None,
        config: GripConfig | None = None,
        on_step: OnStep | None = None,
        carrier: HandCarrier | None = None,
    ) -> None:
        import mujoco

        self._mujoco: Any = mujoco
        self.bin, self.gripper, self.config = bin_spec, gripper or GripperConfig(), config or GripConfig()
        self._on_step, self.carrier, self.touched = on_step, carrier or FreeHand(), set[str]()
        with quiet(mujoco):
            self._model = _described(mujoco, bodies, bin_spec, self.gripper, self.config, self.carrier).compile()
        self._data = mujoco.MjData(self._model)
        self.carrier.bind(self._data)
        states_of = self._model.nq - 7 * len(bodies)
        self._own = slice(0, states_of - FINGER_DOFS)  # of the carrier, in MuJoCo's positions
        self._width, self._first = slice(states_of - FINGER_DOFS, states_of), states_of
        self._dofs = self._model.nv - 6 * len(bodies)
        self._motors = [self._id(mujoco.mjtObj.mjOBJ_ACTUATOR, name) for name in FINGERS]
        self._links = {
            number: str(self._model.body(number).name)
            for number in range(self._model.nbody)
            if self._model.body(number).name.startswith(LINK)
        }
        self._count, first, self._count_steps = len(bodies), self._model.nbody - len(bodies), 0
        self._part_of = np.full(self._model.nbody, -1)
        self._part_of[first:] = np.arange(len(bodies))
        self._hand, self._fingers = self._body(HAND), [self._body(name) for name in FINGERS]
        self._present = np.ones(len(bodies), np.bool_)
        mass, inertia = self._model.body_mass[first:], self._model.body_inertia[first:]
        self._inertia = np.concatenate([np.tile(mass[:, None], 3), np.tile(inertia.max(1)[:, None], 3)], axis=1)
        self._qpos[:] = states(T_world_obj)
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
        return matrices(self._qpos)

    def hand_pose(self) -> FloatArray:
        """Current T_world_hand (4, 4)."""
        return self.carrier.pose()

    def width_m(self) -> float:
        """Current distance of the fingers."""
        return float(self._data.qpos[self._width].sum())

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
        self._put(self.carrier.at(T_world_hand), width_m)

    def park_hand(self) -> None:
        """Place the open hand beside the camera's view, or the arm in its home position."""
        self._put(self.carrier.waiting(hover(self.bin)), self.gripper.opening_m)

    def bring_hand(self, state: FloatArray, width_m: float, speed_m_s: float) -> None:
        """Bring the open hand to a state (7,) of its carrier: a free hand is placed, an arm moves."""
        if self.carrier.teleports:
            self._put(state, width_m)
        else:
            self.open_fingers(width_m, exactly=True)
            self._follow(self.carrier.joined(state), speed_m_s)

    def overlap_m(self, carried: FloatArray, width_m: float) -> float:
        """Deepest overlap of the open hand with bin, floor and parts in states (W, 7) of its carrier; nothing moves."""
        data, deepest = self._mujoco.MjData(self._model), 0.0
        data.qpos[:] = self._data.qpos
        own = np.isin(self._model.geom_bodyid, [self._hand, *self._fingers])
        for state in carried:
            data.qpos[self._own], data.qpos[self._width] = state, width_m / 2
            self._mujoco.mj_kinematics(self._model, data)
            self._mujoco.mj_collision(self._model, data)
            touched = own[data.contact.geom].any(axis=1)
            deepest = max(deepest, -float(data.contact.dist[touched].min(initial=0.0)))
        return deepest

    def move_hand(self, position_m: FloatArray, speed_m_s: float) -> None:
        """Move the hand smoothly on a straight line to a position (3,).

        Raises:
            OutOfReachError: if the arm cannot follow it; also from the other motions.
        """
        way = position_m - self.carrier.target_m()
        length_m = float(np.linalg.norm(way))
        self._follow(self.carrier.along(way / max(length_m, 1e-12), 0.0, length_m), speed_m_s)

    def carry_hand(self, position_m: FloatArray, speed_m_s: float, below_m: float = 0.0) -> None:
        """Move the hand smoothly to a position (3,) above the bin, an arm by the shortest way of its joints.

        Args:
            position_m: (3,) of the hand.
            speed_m_s: the largest.
            below_m: length of the straight line down that follows.
        """
        self._follow(self.carrier.carry(position_m, below_m), speed_m_s)

    def lift_hand(self, position_m: FloatArray, speed_m_s: float) -> None:
        """Move the hand up to a position (3,) above the bin: on a straight line, or as the arm can."""
        try:
            self.move_hand(position_m, speed_m_s)
        except OutOfReachError:
            self.carry_hand(position_m, speed_m_s)

    def shake_hand(self, amplitude_m: float, frequency_hz: float, oscillations: int) -> None:
        """Move the hand back and forth along each of its axes."""
        steps = round(oscillations / frequency_hz / self.config.timestep_s)
        phases = 2 * np.pi * oscillations * np.arange(1, steps + 1) / max(steps, 1)
        fade = np.minimum(1.0, np.minimum(phases, 2 * np.pi * oscillations - phases) / np.pi)
        ways = fade * amplitude_m * np.sin(phases)
        speeds = np.gradient(ways, self.config.timestep_s) if steps > 1 else np.zeros(steps)
        for axis in self.hand_pose()[:3, :3].T:
            course = self.carrier.along(axis, -amplitude_m, amplitude_m)
            for way_m, speed_m_s in zip(ways, speeds, strict=True):
                course.follow(float(way_m), float(speed_m_s))
                self._step()
            course.follow(0.0, 0.0)

    def close_fingers(self, longest_s: float = 1.5, still_s: float = 0.05) -> None:
        """Close with full force until the fingers stand still."""
        self._data.ctrl[self._motors] = -2 * self.config.force_n / STIFFNESS_N_PER_M
        fingers = self._data.qvel[self._dofs - FINGER_DOFS : self._dofs]
        self._until(lambda: bool(np.abs(fingers).max() < REST_M_S), longest_s, still_s)

    def open_fingers(self, width_m: float, longest_s: float = 1.0, exactly: bool = False) -> None:
        """Open to a distance of the fingers, as far as the hand can; `exactly` also closes wider open ones."""
        width_m = min(width_m, self.gripper.opening_m)
        self._data.ctrl[self._motors] = width_m / 2 + (0.0 if exactly else 0.001)
        if exactly:
            self._until(lambda: abs(self.width_m() - width_m) < 1e-4, longest_s, 0.0)
            return
        self._until(lambda: self.width_m() >= width_m - 1e-4, longest_s, 0.0)

    def settle(self, longest_s: float = 1.5, damping_per_s: float = 200.0) -> None:
        """Let the parts come to rest under growing damping, and hold them there."""
        damping, began = self._model.dof_damping[self._dofs :].reshape(-1, 6), self.time_s
        parts = self._data.qvel[self._dofs :].reshape(-1, 6)
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

    def touching(self) -> list[int]:
        """The parts that touch a finger."""
        bodies = self._model.geom_bodyid[self._data.contact.geom[self._data.contact.dist < 0.0]]
        pairs = bodies[np.isin(bodies, self._fingers).any(axis=1)]
        return sorted(set(self._part_of[pairs].ravel().tolist()) - {-1})

    def remove(self, part: int) -> None:
        """Take a part out of the world."""
        self._present[part] = False
        T = np.eye(4)
        T[:3, 3] = part, 0.0, AWAY_M
        self._qpos[part] = states(T[None])[0]
        self._data.qvel[self._dofs :].reshape(-1, 6)[part] = 0.0
        body = self._model.nbody - self._count + part
        self._model.body_gravcomp[body] = 1.0
        geoms = self._model.geom_bodyid == body
        self._model.geom_contype[geoms] = self._model.geom_conaffinity[geoms] = 0

    @property
    def _qpos(self) -> FloatArray:
        return self._data.qpos[self._first :].reshape(-1, 7)

    def _body(self, name: str) -> int:
        return self._id(self._mujoco.mjtObj.mjOBJ_BODY, name)

    def _id(self, kind: Any, name: str) -> int:
        return int(self._mujoco.mj_name2id(self._model, kind, name))

    def _put(self, state: FloatArray, width_m: float) -> None:
        self._data.qpos[self._own], self._data.qpos[self._width] = state, width_m / 2
        self._data.qvel[: self._dofs] = 0.0
        self.carrier.hold()
        self._data.ctrl[self._motors] = width_m / 2

    def _follow(self, course: Course, speed_m_s: float) -> None:
        """Move along a course with smooth speed."""
        duration_s = PEAK * course.length_m / min(speed_m_s, course.fastest_m_s)
        steps = max(1, round(duration_s / self.config.timestep_s))
        for t in np.arange(1, steps + 1) / steps:
            way = t**3 * (10 - 15 * t + 6 * t**2) * course.length_m
            course.follow(float(way), float(30 * t**2 * (1 - t) ** 2 * course.length_m / max(duration_s, 1e-9)))
            self._step()

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
        self._count_steps += 1
        if self._links and self._count_steps % CHECK_STEPS == 0:
            self._note_touched()
        if self._on_step is not None:
            self._on_step(self)

    def _note_touched(self) -> None:
        """Remember which links touch anything."""
        contact = self._data.contact
        bodies = self._model.geom_bodyid[contact.geom[contact.dist < 0.0]]
        self.touched.update(self._links[body] for body in set(bodies.ravel().tolist()) & set(self._links))


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
    mujoco: Any, bodies: Sequence[BodyType], bin_spec: BinSpec, gripper: GripperConfig, config: GripConfig,
    carrier: HandCarrier,
) -> Any:  # fmt: skip
    """The MjSpec: elliptic friction cones, and Newton's method, so that a grip holds."""
    spec = empty_world(mujoco, config.timestep_s)
    spec.option.solver, spec.option.cone = mujoco.mjtSolver.mjSOL_NEWTON, mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio, spec.option.noslip_iterations = config.impratio, config.noslip_iterations
    surface = Surface(config.part_friction, 1.0).of_geometry(config.timestep_s)
    add_static(mujoco, spec, thin_walls(bin_spec), (), surface)
    carrier.add(mujoco, spec, gripper, config)
    add_parts(mujoco, spec, bodies, config.density_kg_m3, surface)
    return spec
