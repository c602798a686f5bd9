"""Geometry buffer of a rendered scene: surface, smooth normal and object coordinates per pixel.

The renderer gives the instance and face of a pixel. This module adds the data for the shading, and the analytic table
under the bins: a plane with round holes (breadboards) over a lower floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.renderer import SceneRendering

TABLE, FLOOR, NOTHING = -2, -3, -1
# Numba must not reorder sums or fuse operations, which depends on the processor: views are equal on all processors.
REPEATABLE = {"nnan", "ninf", "nsz"}
# These kernels slice per pixel and own no array: without reference counts they take three quarters of the time.
UNCOUNTED: dict[str, Any] = {
    "cache": True, "nogil": True, "fastmath": REPEATABLE, "error_model": "numpy", "_nrt": False
}  # fmt: skip
CREASE_COSINE = np.float32(np.cos(np.radians(38.0)))


@dataclass(frozen=True)
class Table:
    """The plane z = z_m under the bins, of finite size, over a floor.

    center_m (2,) and half_size_m (2,): its rectangle in the world's x, y.
    floor_z_m: height of the floor beside it.
    hole_pitch_m, hole_radius_m, hole_depth_m: a square grid of round holes; radius 0 = none.
    """

    z_m: float = 0.0
    center_m: tuple[float, float] = (0.0, 0.0)
    half_size_m: tuple[float, float] = (1.0, 1.0)
    floor_z_m: float = -0.8
    hole_pitch_m: float = 0.025
    hole_radius_m: float = 0.0
    hole_depth_m: float = 0.012

    def packed(self) -> npt.NDArray[np.float64]:
        """(9,) for the kernels."""
        return np.array([
            self.z_m, *self.center_m, *self.half_size_m, self.floor_z_m,
            self.hole_pitch_m, self.hole_radius_m, self.hole_depth_m,
        ])  # fmt: skip


@dataclass(frozen=True)
class GBuffer:
    """Per pixel, all (H, W, ...).

    depth_m: float32, 0 = nothing. surface_ids int32: instance, or TABLE, FLOOR, NOTHING.
    normals: (H, W, 3) float32, camera frame, turned towards the camera.
    coordinates: (H, W, 3) float32, metres in the instance's frame; in the world's for the table.
    """

    depth_m: npt.NDArray[np.float32]
    surface_ids: npt.NDArray[np.int32]
    normals: npt.NDArray[np.float32]
    coordinates: npt.NDArray[np.float32]


class SmoothMeshes:
    """Meshes packed for the kernel, with a normal per face corner (Phong shading with creases)."""

    def __init__(self, meshes: Sequence[Mesh], corner_normals: Sequence[npt.NDArray[np.float32]]) -> None:
        self.vertices = np.concatenate([m.vertices for m in meshes]).astype(np.float32)
        starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])[:-1]
        faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
        self.faces = np.concatenate(faces).astype(np.int32)
        self.face_start = np.cumsum([0, *(len(m.faces) for m in meshes)]).astype(np.int64)[:-1]
        self.corner_normals = np.ascontiguousarray(np.concatenate(corner_normals), np.float32)


def smooth_corner_normals(mesh: Mesh) -> npt.NDArray[np.float32]:
    """(F, 3, 3) float32: unit normals per face corner, averaged over faces within the crease angle."""
    rounded = np.round(mesh.vertices * 1e7).astype(np.int64)
    _, merged = np.unique(rounded, axis=0, return_inverse=True)
    faces = merged.reshape(-1)[mesh.faces].astype(np.int64)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    order = np.argsort(faces.reshape(-1), kind="stable")
    starts = np.searchsorted(faces.reshape(-1)[order], np.arange(faces.max() + 2))
    return _corner_normals(faces, areas, order, starts, CREASE_COSINE)


@numba.njit(cache=True, nogil=True)
def _corner_normals(faces, areas, order, starts, crease_cosine):  # type: ignore[no-untyped-def]
    units = areas.copy()
    for f in range(len(areas)):
        units[f] /= max(np.sqrt((areas[f] ** 2).sum()), 1e-30)
    result = np.empty((len(faces), 3, 3), np.float32)
    for f in range(len(faces)):
        for c in range(3):
            vertex = faces[f, c]
            x, y, z = 0.0, 0.0, 0.0
            for k in range(starts[vertex], starts[vertex + 1]):
                other = order[k] // 3
                cosine = units[f, 0] * units[other, 0] + units[f, 1] * units[other, 1] + units[f, 2] * units[other, 2]
                if cosine >= crease_cosine:
                    x += areas[other, 0]
                    y += areas[other, 1]
                    z += areas[other, 2]
            length = np.sqrt(x * x + y * y + z * z)
            if length < 1e-30:
                x, y, z, length = units[f, 0], units[f, 1], units[f, 2], 1.0
            result[f, c, 0], result[f, c, 1], result[f, c, 2] = x / length, y / length, z / length
    return result


def gbuffer(
    rendering: SceneRendering,
    meshes: SmoothMeshes,
    mesh_ids: npt.NDArray[np.integer],
    T_cam_obj: FloatArray,
    camera: Camera,
    T_cam_world: FloatArray,
    table: Table,
) -> GBuffer:
    """Surface, normal and coordinates per pixel of a rendering of mesh_ids (M,) at T_cam_obj (M, 4, 4)."""
    shape = rendering.depth_m.shape
    depth = rendering.depth_m.copy()
    surface = rendering.instance_ids.astype(np.int32)
    normals, coordinates = np.zeros((*shape, 3), np.float32), np.zeros((*shape, 3), np.float32)
    first_face = meshes.face_start[np.asarray(mesh_ids, np.int64)]
    _fill(
        depth, surface, rendering.face_ids, normals, coordinates, meshes.vertices, meshes.faces, meshes.corner_normals,
        first_face, np.ascontiguousarray(T_cam_obj, np.float64), camera.intrinsics, inverse(np.asarray(T_cam_world)),
        table.packed(),
    )  # fmt: skip
    return GBuffer(depth, surface, normals, coordinates)


@numba.njit(**UNCOUNTED)
def _fill(  # type: ignore[no-untyped-def]
    depth, surface, face_ids, normals, coordinates, vertices, faces, corner_normals, first_face, T_cam_obj, intrinsics,
    T_world_cam, table,
):  # fmt: skip
    height, width = depth.shape
    for v in range(height):
        ry = (v - intrinsics[3]) / intrinsics[1]
        for u in range(width):
            rx = (u - intrinsics[2]) / intrinsics[0]
            i = surface[v, u]
            if i < 0:
                _table_pixel(depth, surface, normals, coordinates, v, u, rx, ry, T_world_cam, table)
                continue
            T = T_cam_obj[i]
            z = depth[v, u]
            px, py, pz = rx * z - T[0, 3], ry * z - T[1, 3], z - T[2, 3]
            ox = T[0, 0] * px + T[1, 0] * py + T[2, 0] * pz
            oy = T[0, 1] * px + T[1, 1] * py + T[2, 1] * pz
            oz = T[0, 2] * px + T[1, 2] * py + T[2, 2] * pz
            coordinates[v, u, 0], coordinates[v, u, 1], coordinates[v, u, 2] = ox, oy, oz
            f = first_face[i] + face_ids[v, u]
            nx, ny, nz = _interpolated(vertices, faces[f], corner_normals[f], ox, oy, oz)
            cx = T[0, 0] * nx + T[0, 1] * ny + T[0, 2] * nz
            cy = T[1, 0] * nx + T[1, 1] * ny + T[1, 2] * nz
            cz = T[2, 0] * nx + T[2, 1] * ny + T[2, 2] * nz
            scale = 1.0 / max(np.sqrt(cx * cx + cy * cy + cz * cz), 1e-12)
            if cx * rx + cy * ry + cz > 0.0:
                scale = -scale
            normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = cx * scale, cy * scale, cz * scale


@numba.njit(cache=True, nogil=True, fastmath=REPEATABLE, inline="always")
def _interpolated(vertices, face, corners, px, py, pz):  # type: ignore[no-untyped-def]
    """Barycentric mean of the three corner normals at a point of the face's plane."""
    a, b, c = vertices[face[0]], vertices[face[1]], vertices[face[2]]
    e1x, e1y, e1z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    e2x, e2y, e2z = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    dx, dy, dz = px - a[0], py - a[1], pz - a[2]
    d11, d12 = e1x * e1x + e1y * e1y + e1z * e1z, e1x * e2x + e1y * e2y + e1z * e2z
    d22 = e2x * e2x + e2y * e2y + e2z * e2z
    q1, q2 = dx * e1x + dy * e1y + dz * e1z, dx * e2x + dy * e2y + dz * e2z
    determinant = max(d11 * d22 - d12 * d12, 1e-30)
    s = min(max((d22 * q1 - d12 * q2) / determinant, 0.0), 1.0)
    t = min(max((d11 * q2 - d12 * q1) / determinant, 0.0), 1.0 - s)
    r = 1.0 - s - t
    return (
        r * corners[0, 0] + s * corners[1, 0] + t * corners[2, 0],
        r * corners[0, 1] + s * corners[1, 1] + t * corners[2, 1],
        r * corners[0, 2] + s * corners[1, 2] + t * corners[2, 2],
    )


@numba.njit(cache=True, nogil=True, fastmath=REPEATABLE)
def _table_pixel(depth, surface, normals, coordinates, v, u, rx, ry, T, table):  # type: ignore[no-untyped-def]
    """Intersect one viewing ray with the table, its holes and the floor; T is T_world_cam."""
    wx = T[0, 0] * rx + T[0, 1] * ry + T[0, 2]
    wy = T[1, 0] * rx + T[1, 1] * ry + T[1, 2]
    wz = T[2, 0] * rx + T[2, 1] * ry + T[2, 2]
    if wz > -1e-6:
        return
    nx, ny, nz = 0.0, 0.0, 1.0
    s = (table[0] - T[2, 3]) / wz
    x, y = T[0, 3] + s * wx, T[1, 3] + s * wy
    if abs(x - table[1]) > table[3] or abs(y - table[2]) > table[4]:
        s = (table[5] - T[2, 3]) / wz
        surface[v, u] = FLOOR
    else:
        surface[v, u] = TABLE
        if table[7] > 0.0:
            pitch, radius = table[6], table[7]
            hx, hy = x - np.round(x / pitch) * pitch, y - np.round(y / pitch) * pitch
            if hx * hx + hy * hy < radius * radius:
                # distance along the ray to the hole's cylinder, from the point (hx, hy) inside it
                a, b = wx * wx + wy * wy, hx * wx + hy * wy
                wall = (-b + np.sqrt(b * b + a * (radius * radius - hx * hx - hy * hy))) / max(a, 1e-18)
                bottom = -table[8] / wz
                if wall < bottom:
                    nx, ny, nz = -(hx + wall * wx) / radius, -(hy + wall * wy) / radius, 0.0
                s += min(wall, bottom)
    if s <= 0.0:
        surface[v, u] = NOTHING
        return
    depth[v, u] = s
    coordinates[v, u, 0] = T[0, 3] + s * wx
    coordinates[v, u, 1] = T[1, 3] + s * wy
    coordinates[v, u, 2] = T[2, 3] + s * wz
    normals[v, u, 0] = T[0, 0] * nx + T[1, 0] * ny + T[2, 0] * nz
    normals[v, u, 1] = T[0, 1] * nx + T[1, 1] * ny + T[2, 1] * nz
    normals[v, u, 2] = T[0, 2] * nx + T[1, 2] * ny + T[2, 2] * nz
