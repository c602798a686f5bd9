"""The GPU backend: ray casting with bounding volume hierarchies by NVIDIA Warp (extra `gpu`); also runs on the CPU.

Rays are transformed to the object frame of a mesh, so that its hierarchy is built only once. Warp searches the face in
float32; the depth is computed from the face's plane in float64.

Import this module only through `render_backends.make_backend`, whose error says what to install if Warp is missing.
"""

from typing import Any

import numpy as np
import warp as wp

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.backends import NOTHING, PLANE_TRUST, Drawn, Images
from binpose_core.rendering.packed_meshes import PackedMeshes

NO_MESH = 0  # Warp's mesh ids are addresses
FAR_M = 1e6


class WarpBackend:
    """Renders on the first CUDA device, or on the CPU if there is none (or on `device`: cpu, cuda, cuda:1).

    Raises:
        BinposeError: if the device does not exist.
    """

    def __init__(self, meshes: PackedMeshes, device: str | None = None) -> None:
        self.device = _prepared(device)
        self._meshes = [self._on_device(mesh) for mesh in meshes.meshes]
        ids = [NO_MESH if mesh is None else mesh.id for mesh in self._meshes]
        self._ids = np.array([*ids, NO_MESH], np.uint64)

    def _on_device(self, mesh: Mesh) -> wp.Mesh | None:
        if len(mesh.faces) == 0:
            return None
        points = wp.array(np.ascontiguousarray(mesh.vertices, np.float32), dtype=wp.vec3, device=self.device)
        faces = np.ascontiguousarray(mesh.faces, np.int32).reshape(-1)
        return wp.Mesh(points=points, indices=wp.array(faces, dtype=wp.int32, device=self.device))

    def draw(self, images: Images) -> Drawn:
        """The nearest surface under every pixel."""
        if 0 in images.shape:
            return Drawn.empty(images.shape)
        finite = np.isfinite(images.T_cam_obj).all(axis=(1, 2))
        meshes = np.where(finite, self._ids[images.mesh_ids], np.uint64(NO_MESH))
        depth, instances, faces = (
            wp.zeros(images.shape, dtype=kind, device=self.device) for kind in (wp.float32, wp.int32, wp.int32)
        )
        inputs = [
            wp.array(meshes, dtype=wp.uint64, device=self.device),
            wp.array(images.T_cam_obj, dtype=wp.mat44d, device=self.device),
            wp.array(images.first_instance.astype(np.int32), dtype=wp.int32, device=self.device),
            wp.array(images.intrinsics, dtype=wp.vec4d, device=self.device),
            wp.float64(images.near_m),
        ]
        wp.launch(cast_rays, dim=images.shape, inputs=inputs, outputs=[depth, instances, faces], device=self.device)
        return Drawn(depth.numpy(), instances.numpy(), faces.numpy())


def _prepared(name: str | None) -> Any:
    """Warp's device with the kernels compiled for it, so that the first image is not delayed.

    Warp's start-up message is suppressed, because it would mix with the output of a command.
    """
    level, wp.config.log_level = wp.config.log_level, wp.LOG_WARNING
    try:
        device = wp.get_preferred_device() if name is None else wp.get_device(name)
        wp.load_module(__name__, device=device)
    except (ValueError, RuntimeError) as error:
        raise BinposeError(f"Warp cannot draw on {name!r}: {error}; expected cpu or a GPU that it sees.") from error
    finally:
        wp.config.log_level = level
    return device


@wp.func
def plane_depth(mesh: wp.uint64, face: wp.int32, start: wp.vec3d, ray: wp.vec3d, found: wp.float64) -> wp.float64:
    """Distance along the ray to the face's plane; `found` if that is ill-conditioned."""
    a = wp.vec3d(wp.mesh_get_point(mesh, 3 * face))
    b = wp.vec3d(wp.mesh_get_point(mesh, 3 * face + 1))
    c = wp.vec3d(wp.mesh_get_point(mesh, 3 * face + 2))
    normal = wp.cross(b - a, c - a)
    exact = wp.dot(normal, a - start) / wp.dot(normal, ray)
    if wp.abs(exact - found) <= wp.float64(PLANE_TRUST) * found:
        return exact
    return found


@wp.kernel
def cast_rays(
    meshes: wp.array[wp.uint64],
    T_cam_obj: wp.array[wp.mat44d],
    first_instance: wp.array[wp.int32],
    intrinsics: wp.array[wp.vec4d],
    near_m: wp.float64,
    depth_m: wp.array3d[wp.float32],
    instance_ids: wp.array3d[wp.int32],
    face_ids: wp.array3d[wp.int32],
) -> None:
    """One pixel per thread; the arguments are those of `Images` and `Drawn`, meshes (N,) those of the instances."""
    image, v, u = wp.tid()
    camera = intrinsics[image]
    x = (wp.float64(u) - camera[2]) / camera[0]
    y = (wp.float64(v) - camera[3]) / camera[1]
    ray_cam = wp.vec4d(x, y, wp.float64(1.0), wp.float64(0.0))
    best = wp.float64(FAR_M)
    instance = int(NOTHING)
    face = int(NOTHING)
    for n in range(first_instance[image], first_instance[image + 1]):
        if meshes[n] != wp.uint64(NO_MESH):
            pose = T_cam_obj[n]
            # Transform to the object frame by R^T: the ray, and its point on the near plane, the origin of depths.
            offset = wp.vec4d(pose[0, 3], pose[1, 3], pose[2, 3], wp.float64(0.0))
            ray4, start4 = ray_cam * pose, (near_m * ray_cam - offset) * pose
            ray = wp.vec3d(ray4[0], ray4[1], ray4[2])
            start = wp.vec3d(start4[0], start4[1], start4[2])
            reach = wp.float32((best - near_m) * wp.float64(1.0 + 2.0 * PLANE_TRUST))
            hit = wp.mesh_query_ray(meshes[n], wp.vec3f(start), wp.vec3f(ray), reach)
            if hit.result:
                depth = near_m + plane_depth(meshes[n], hit.face, start, ray, wp.float64(hit.t))
                if depth < best:
                    best = depth
                    instance = n
                    face = hit.face
    if instance != NOTHING:
        depth_m[image, v, u] = wp.float32(best)
    instance_ids[image, v, u] = instance
    face_ids[image, v, u] = face
