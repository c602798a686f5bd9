"""A pile with surfaces and lights as scenes of Mitsuba: one in visible light, one in the stereo camera's infrared."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation import materials as mat
from binpose_simulation.gbuffer import Table
from binpose_simulation.path_traced.backend import mitsuba
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.path_traced.room import Room, random_room
from binpose_simulation.path_traced.surfaces import TEXTURE_M, bitmap, matte, principled
from binpose_simulation.path_traced.unwrapping import box_coordinates, turned_coordinates
from binpose_simulation.pile import Pile
from binpose_simulation.textures import random_texture

Triangles = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class TracedCell:
    """What a cell has all the time, drawn from its seed: each name has its own random generator."""

    seed: int

    def rng(self, name: str) -> np.random.Generator:
        """The generator of a material, the room, or the camera."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


@dataclass(frozen=True, eq=False)
class TracedScene:
    """Shapes and lights of a view, in the world's frame.

    shapes: named objects of Mitsuba, shared by all scenes of this view. room: its lights.
    """

    shapes: Mapping[str, Any]
    room: Room

    def load(self, level: float, more: Mapping[str, Any]) -> Any:
        """A scene with the room's lights at this level, and more objects."""
        return mitsuba().load_dict({"type": "scene", **self.shapes, **self.room.emitters(level), **more})


def traced_scene(
    pile: Pile,
    cell: TracedCell,
    look: np.random.Generator,
    config: PathTracedConfig,
    T_cam_world: FloatArray,
    table: Table,
) -> TracedScene:
    """The scene of a pile on a table, seen from T_cam_world (4, 4); `look` lays each part's texture."""
    shapes = {f"bodies{k}": shape for k, shape in enumerate(_bodies(pile, cell, look, config))}
    shapes |= _surroundings(cell, table)
    if config.room.housing:
        shapes["housing"] = _housing(inverse(T_cam_world))
    low, high = pile.bin_boxes[:, 0].min(0), pile.bin_boxes[:, 1].max(0)
    return TracedScene(shapes, random_room(cell.rng("room"), config.room, (low + high) / 2))


def material_of(group: str, cell: TracedCell, config: PathTracedConfig) -> tuple[str, npt.NDArray[np.float32]]:
    """Name and row of the material of a group of bodies; all bins are equal."""
    name = "bin" if group.startswith("bin") else group
    rng = cell.rng(name)
    return name, mat.random_bin_material(rng) if name == "bin" else mat.random_part_material(rng, config.materials)


def _bodies(pile: Pile, cell: TracedCell, look: np.random.Generator, config: PathTracedConfig) -> list[Any]:
    """One shape for all bodies of each material."""
    rows: dict[str, npt.NDArray[np.float32]] = {}
    triangles: dict[str, list[Triangles]] = {}
    for body, group in enumerate(pile.groups):
        name, row = material_of(group, cell, config)
        rows[name] = row
        triangles.setdefault(name, []).append(_triangles(pile, body, row, look))
    return [_shape(triangles[name], principled(cell.rng(f"surface of {name}"), rows[name])) for name in rows]


def _triangles(pile: Pile, body: int, row: npt.NDArray[np.float32], look: np.random.Generator) -> Triangles:
    """Positions, normals (3F, 3) in the world and texture coordinates (3F, 2) of a body's faces."""
    number, T_world_obj = int(pile.mesh_ids[body]), pile.T_world_obj[body]
    mesh, first = pile.renderer.meshes[number], int(pile.smooth.face_start[number])
    normals = pile.smooth.corner_normals[first : first + len(mesh.faces)].reshape(-1, 3)
    uv = turned_coordinates(mesh, pile.axes[body]) if row[mat.ANISOTROPY] > 0 else box_coordinates(mesh)
    corners = mesh.vertices[mesh.faces].reshape(-1, 3) @ T_world_obj[:3, :3].T + T_world_obj[:3, 3]
    uv = uv.reshape(-1, 2) / np.float32(TEXTURE_M) + look.random(2, np.float32)
    return corners.astype(np.float32), (normals @ T_world_obj[:3, :3].T).astype(np.float32), uv


def _shape(triangles: Sequence[Triangles], surface: Mapping[str, Any]) -> Any:
    mi = mitsuba()
    positions, normals, uv = (np.concatenate(parts) for parts in zip(*triangles, strict=True))
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict({"type": "twosided", "bsdf": dict(surface)})
    mesh = mi.Mesh("bodies", len(positions), len(positions) // 3, properties, True, True)
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = positions.ravel()
    parameters["vertex_normals"] = normals.ravel()
    parameters["vertex_texcoords"] = uv.ravel()
    parameters["faces"] = np.arange(len(positions), dtype=np.uint32)
    parameters.update()
    return mesh


def _surroundings(cell: TracedCell, table: Table) -> dict[str, Any]:
    """The table with its texture, and the floor."""
    mi = mitsuba()
    rng = cell.rng("table")
    row = mat.random_table_material(rng)
    texture, per_m = random_texture(rng)
    repeats = 2 * np.array(table.half_size_m) * per_m / texture.shape[0]
    color = bitmap(np.clip(texture * row[:3], 0.003, 0.97))
    color["to_uv"] = mi.ScalarTransform4f().scale([float(repeats[0]), float(repeats[1]), 1.0])
    surface = {
        "type": "principled", "base_color": color, "roughness": float(np.clip(row[mat.ROUGHNESS], 0.1, 1.0)),
        "metallic": float(row[mat.METALLIC]), "specular": 0.5,
    }  # fmt: skip
    place = mi.ScalarTransform4f().translate([*table.center_m, table.z_m]).scale([*table.half_size_m, 1.0])
    floor = mi.ScalarTransform4f().translate([0.0, 0.0, table.floor_z_m]).scale([8.0, 8.0, 1.0])
    return {
        "table": mi.load_dict({"type": "rectangle", "to_world": place, "bsdf": surface}),
        "ground": mi.load_dict({"type": "rectangle", "to_world": floor, "bsdf": matte(rng.uniform(0.1, 0.4, 3))}),
    }


def _housing(T_world_cam: FloatArray) -> Any:
    """A dark plate just behind the camera."""
    behind = T_world_cam @ np.diag([0.09, 0.03, 1.0, 1.0])
    behind[:3, 3] -= 0.02 * T_world_cam[:3, 2]
    mi = mitsuba()
    surface = {"type": "twosided", "bsdf": matte([0.03, 0.03, 0.035])}
    return mi.load_dict({"type": "rectangle", "to_world": mi.ScalarTransform4f(behind), "bsdf": surface})


def sensor(camera: Camera, T_world_cam: FloatArray) -> Any:
    """Mitsuba's camera; pixels are square there, with the width's focal length."""
    mi = mitsuba()
    flipped = T_world_cam @ np.diag([-1.0, -1.0, 1.0, 1.0])
    return mi.load_dict({
        "type": "perspective",
        "fov": float(np.degrees(2 * np.arctan(camera.width / 2 / camera.fx))),
        "fov_axis": "x",
        "principal_point_offset_x": float(0.5 - (camera.cx + 0.5) / camera.width),
        "principal_point_offset_y": float(0.5 - (camera.cy + 0.5) / camera.height),
        "near_clip": 0.01,
        "far_clip": 100.0,
        "to_world": mi.ScalarTransform4f(flipped),
        "film": {
            "type": "hdrfilm", "width": camera.width, "height": camera.height, "pixel_format": "rgb",
            "component_format": "float32", "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent"},
    })  # fmt: skip
