"""Pieces of MuJoCo worlds: floor, walls or convex pieces of a bin, guides for falling parts, and free parts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, quat_xyzw_from_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_simulation.bins import Wall
from binpose_simulation.placement import BodyType

WALL_HALF_M = np.array([2.0, 2.0, 0.05])  # along, up, thickness: only a wall's inner face and its top edge matter
GRAVITY_M_S2 = 9.81
Box = tuple[FloatArray, FloatArray]
"""Pose (4, 4) of a box in the world, and its half sides (3,) in metres."""


@dataclass(frozen=True)
class Surface:
    """A material as MuJoCo describes contacts.

    friction: sliding coefficient. damping_ratio: 1 for no bounce. torsion_m, rolling_m: friction about the normal and
    of rolling, per newton.
    """

    friction: float
    damping_ratio: float
    torsion_m: float = 0.002
    rolling_m: float = 0.0001

    def of_geometry(self, timestep_s: float) -> dict[str, Any]:
        """Fields of a geometry in MuJoCo. The stiffness follows from the time step of the integration."""
        return {
            "condim": 4,
            "friction": [self.friction, self.torsion_m, self.rolling_m],
            "solref": [2.5 * timestep_s, self.damping_ratio],
            "solimp": [0.95, 0.99, 0.001, 0.5, 2.0],  # stiff: friction creeps less
        }


@contextmanager
def quiet(mujoco: Any) -> Iterator[None]:
    """Suppress MuJoCo's printed warnings and its file MUJOCO_LOG.TXT; warnings are read from the data instead."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def empty_world(mujoco: Any, timestep_s: float) -> Any:
    """An MjSpec with gravity and an implicit integration."""
    spec = mujoco.MjSpec()
    spec.option.timestep, spec.option.gravity = timestep_s, [0.0, 0.0, -GRAVITY_M_S2]
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.disableflags = mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return spec


def add_static(
    mujoco: Any, spec: Any, boxes: Sequence[Box], bin_pieces: Sequence[Mesh], surface: dict[str, Any]
) -> None:
    """Add the floor at z = 0, and the bin: its convex pieces, or boxes if there are none."""
    world = spec.worldbody
    world.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1], **surface)
    for k, piece in enumerate(bin_pieces):
        world.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=add_mesh(spec, f"bin_{k}", piece), **surface)
    for box in () if bin_pieces else boxes:
        add_box(mujoco, world, box, surface)


def add_guides(mujoco: Any, spec: Any, walls: Sequence[Wall], surface: dict[str, Any]) -> None:
    """Add upright walls on the rim, each a mocap body, which lead falling parts into the bin."""
    for wall in walls:
        add_box(mujoco, spec.worldbody.add_body(mocap=True), (_guide_frame(wall), WALL_HALF_M), surface)


def add_parts(
    mujoco: Any, spec: Any, bodies: Sequence[BodyType], density_kg_m3: float, surface: dict[str, Any]
) -> list[Any]:
    """Add one free body per instance and return them; equal entries reuse their meshes."""
    names: dict[int, list[str]] = {}
    added = []
    for body in bodies:
        if id(body) not in names:
            names[id(body)] = [add_mesh(spec, f"t{len(names)}_{k}", piece) for k, piece in enumerate(body.pieces)]
        part = spec.worldbody.add_body()
        part.add_freejoint()
        for name in names[id(body)]:
            part.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, density=density_kg_m3, **surface)
        added.append(part)
    return added


def add_mesh(spec: Any, name: str, piece: Mesh) -> str:
    """Add a mesh and return its name."""
    spec.add_mesh(name=name, uservert=piece.vertices.ravel(), userface=piece.faces.ravel())
    return name


def add_box(mujoco: Any, body: Any, box: Box, surface: dict[str, Any]) -> Any:
    """Add a box to a body, in the frame of the body."""
    T, half_m = box
    quat = np.roll(quat_xyzw_from_rotation(T[:3, :3]), 1)
    return body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half_m, pos=T[:3, 3], quat=quat, **surface)


def wall_boxes(walls: Sequence[Wall]) -> list[Box]:
    """Thick and long boxes whose inner faces are the walls and whose top edges are the rim."""
    return [(wall_frame(wall, WALL_HALF_M), WALL_HALF_M) for wall in walls]


def wall_frame(wall: Wall, half_m: FloatArray) -> FloatArray:
    """Pose (4, 4) of the box (along, up, inward) whose inner face is the wall and whose top edge is its rim.

    half_m: (3,) half sides of the box.
    """
    along, up, top = _wall_axes(wall)
    center = top - up * half_m[1] - wall.normal * half_m[2]
    return from_rotation_translation(np.stack([along, up, wall.normal], 1), center)


def _guide_frame(wall: Wall) -> FloatArray:
    """Pose (4, 4) of the upright box that stands on the wall's rim."""
    along, _, top = _wall_axes(wall)
    up = np.array([0.0, 0.0, 1.0])
    inward = np.cross(along, up)
    center = top + up * WALL_HALF_M[1] - inward * WALL_HALF_M[2]
    return from_rotation_translation(np.stack([along, up, inward], 1), center)


def _wall_axes(wall: Wall) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Horizontal direction, direction up the wall, and a point on its rim: along x up = normal."""
    along = np.cross([0.0, 0.0, 1.0], wall.normal)
    along /= np.linalg.norm(along)
    up = np.cross(wall.normal, along)
    return along, up, wall.point + up * (wall.top_m / up[2])
