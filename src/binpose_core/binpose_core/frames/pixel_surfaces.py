"""What follows from depth, instance and face of a pixel: normal, place on the part, shading; for every backend.

The kernels run over rows (R, w, ...) of images of h rows each, so that row r belongs to image r // h.
"""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.geometry.transforms import FloatArray

AMBIENT = 0.25
Float32 = npt.NDArray[np.float32]


def camera_normals(
    instance_ids: npt.NDArray[np.int32],
    face_ids: npt.NDArray[np.int32],
    first_face: npt.NDArray[np.int64],
    normals: Float32,
    offsets: Float32,
    T_cam_obj: npt.NDArray[np.float64],
) -> Float32:
    """Surface normals (I, h, w, 3) float32 in the camera frame, turned towards it; 0 = background.

    Args:
        instance_ids: (I, h, w), -1 = background.
        face_ids: (I, h, w) of faces in the instance's mesh.
        first_face: (N,) where an instance's mesh begins in the two tables.
        normals: (F, 3) of all meshes, object frame.
        offsets: (F,) of their planes normal . point = offset, metres.
        T_cam_obj: (N, 4, 4) poses, metres.
    """
    out = np.zeros((*instance_ids.shape, 3), np.float32)
    rows, width = -1, instance_ids.shape[-1]
    _fill_normals(
        instance_ids.reshape(rows, width), face_ids.reshape(rows, width), first_face, normals, offsets, T_cam_obj,
        out.reshape(rows, width, 3),
    )  # fmt: skip
    return out


def surface_points(
    depth_m: Float32, instance_ids: npt.NDArray[np.int32], T_cam_obj: FloatArray, intrinsics: FloatArray
) -> Float32:
    """Surface points (I, h, w, 3) float32 in the frames of the instances (N) seen, metres; 0 = background.

    Args:
        depth_m: (I, h, w) along the optical axis.
        instance_ids: (I, h, w), -1 = background.
        T_cam_obj: (N, 4, 4) poses, metres.
        intrinsics: (I, 4) fx, fy, cx, cy in pixels.
    """
    out = np.zeros((*depth_m.shape, 3), np.float32)
    height, width = depth_m.shape[1:]
    _fill_points(
        depth_m.reshape(-1, width), instance_ids.reshape(-1, width), T_cam_obj, intrinsics, height,
        out.reshape(-1, width, 3),
    )  # fmt: skip
    return out


def headlight(
    normals_cam: Float32, instance_ids: npt.NDArray[np.int32], colors: npt.NDArray[np.uint8], intrinsics: FloatArray
) -> npt.NDArray[np.uint8]:
    """RGB (I, h, w, 3) uint8 as lit by a lamp in the camera, without shadows (Lambert); black background.

    Args:
        normals_cam: (I, h, w, 3) unit normals towards the camera.
        instance_ids: (I, h, w), -1 = background.
        colors: (N, 3) RGB of the instances.
        intrinsics: (I, 4) fx, fy, cx, cy in pixels.
    """
    out = np.zeros(normals_cam.shape, np.uint8)
    height, width = normals_cam.shape[1:3]
    _fill_headlight(
        normals_cam.reshape(-1, width, 3), instance_ids.reshape(-1, width), colors, intrinsics, height,
        out.reshape(-1, width, 3),
    )  # fmt: skip
    return out


@njit(parallel=True, cache=True, error_model="numpy")
def _fill_normals(instances, faces, first_face, normals, offsets, T_cam_obj, out):  # type: ignore[no-untyped-def]
    for r in prange(instances.shape[0]):
        for u in range(instances.shape[1]):
            n = instances[r, u]
            if n < 0:
                continue
            T, f = T_cam_obj[n], first_face[n] + faces[r, u]
            a, b, c = normals[f, 0], normals[f, 1], normals[f, 2]
            x = T[0, 0] * a + T[0, 1] * b + T[0, 2] * c
            y = T[1, 0] * a + T[1, 1] * b + T[1, 2] * c
            z = T[2, 0] * a + T[2, 1] * b + T[2, 2] * c
            # The sign of n . p, the same for all points p of a face's plane, tells which side the camera sees.
            away = x * T[0, 3] + y * T[1, 3] + z * T[2, 3] + offsets[f] > 0.0
            sign = -1.0 if away else 1.0
            out[r, u, 0], out[r, u, 1], out[r, u, 2] = sign * x, sign * y, sign * z


@njit(parallel=True, cache=True, error_model="numpy")
def _fill_points(depth, instances, T_cam_obj, intrinsics, height, out):  # type: ignore[no-untyped-def]
    for r in prange(depth.shape[0]):
        image, v = r // height, r % height
        fx, fy, cx, cy = intrinsics[image, 0], intrinsics[image, 1], intrinsics[image, 2], intrinsics[image, 3]
        for u in range(depth.shape[1]):
            n = instances[r, u]
            if n < 0:
                continue
            T, z = T_cam_obj[n], depth[r, u]
            x, y, z = (u - cx) / fx * z - T[0, 3], (v - cy) / fy * z - T[1, 3], z - T[2, 3]
            for k in range(3):
                out[r, u, k] = T[0, k] * x + T[1, k] * y + T[2, k] * z


@njit(parallel=True, cache=True, error_model="numpy")
def _fill_headlight(normals, instances, colors, intrinsics, height, out):  # type: ignore[no-untyped-def]
    for r in prange(instances.shape[0]):
        image, v = r // height, r % height
        fx, fy, cx, cy = intrinsics[image, 0], intrinsics[image, 1], intrinsics[image, 2], intrinsics[image, 3]
        for u in range(instances.shape[1]):
            n = instances[r, u]
            if n < 0:
                continue
            x, y = (u - cx) / fx, (v - cy) / fy
            facing = -(normals[r, u, 0] * x + normals[r, u, 1] * y + normals[r, u, 2]) / np.sqrt(x * x + y * y + 1.0)
            light = AMBIENT + (1.0 - AMBIENT) * max(facing, 0.0)
            for k in range(3):
                out[r, u, k] = np.uint8(colors[n, k] * light + 0.5)
