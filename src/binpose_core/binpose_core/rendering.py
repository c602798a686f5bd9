"""One function renders a batch: meshes, poses, cameras -> depth and face ids, from which all else follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray
from binpose_core.meshes import Mesh, face_areas_normals
from binpose_core.rasterizer import NO_FACE, draw_crops, draw_scene

NEAR_M = 0.01


@dataclass(frozen=True)
class Rendering:
    """depth_m (B, h, w) float32, 0 = background; face_ids (B, h, w) int32, -1 = background."""

    depth_m: npt.NDArray[np.float32]
    face_ids: npt.NDArray[np.int32]

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(B, h, w) true where the part is."""
        return self.face_ids != NO_FACE


@dataclass(frozen=True)
class SceneRendering:
    """depth_m (H, W) float32, 0 = nothing; instance_ids and face_ids (H, W) int32, -1 = nothing."""

    depth_m: npt.NDArray[np.float32]
    instance_ids: npt.NDArray[np.int32]
    face_ids: npt.NDArray[np.int32]


class Renderer:
    """Draws a fixed set of meshes; mesh ids are indices into it.

    Attributes:
        face_normals: per mesh (F, 3) float32, unit length, object frame, in the mesh's own winding.
    """

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        self.meshes = tuple(meshes)
        self._vertices = np.concatenate([np.zeros((0, 3)), *(m.vertices for m in meshes)])
        self._faces = np.concatenate([np.zeros((0, 3), np.int32), *(m.faces for m in meshes)], dtype=np.int32)
        self._vertex_start = np.cumsum([0, *(len(m.vertices) for m in meshes)]).astype(np.int64)
        self._face_start = np.cumsum([0, *(len(m.faces) for m in meshes)]).astype(np.int64)
        self.face_normals = tuple(face_areas_normals(mesh)[1].astype(np.float32) for mesh in meshes)
        # One more entry stands for the background.
        self._all_normals = np.concatenate([*self.face_normals, np.zeros((1, 3), np.float32)])
        offsets = [_face_offsets(mesh, normals) for mesh, normals in zip(meshes, self.face_normals, strict=True)]
        self._all_offsets = np.concatenate([*offsets, np.zeros(1, np.float32)])

    def crops(
        self,
        mesh_ids: npt.NDArray[np.integer],
        T_cam_obj: FloatArray,
        intrinsics: FloatArray,
        height: int,
        width: int,
        near_m: float = NEAR_M,
    ) -> Rendering:
        """One mesh per image.

        Args:
            mesh_ids: (B,) indices of meshes.
            T_cam_obj: (B, 4, 4) poses, metres.
            intrinsics: (B, 4) or (4,) fx, fy, cx, cy in pixels of each crop.
            height: of each crop in pixels.
            width: of each crop in pixels.
            near_m: what is nearer than this is cut away.

        Raises:
            BinposeError: for an id that is none of a mesh.
        """
        mesh_ids = self._checked_ids(mesh_ids)
        T_cam_obj = np.ascontiguousarray(T_cam_obj, np.float64).reshape(len(mesh_ids), 4, 4)
        intrinsics = np.ascontiguousarray(np.broadcast_to(intrinsics, (len(mesh_ids), 4)), np.float64)
        depth = np.empty((len(mesh_ids), height, width), np.float32)
        face_ids = np.full(depth.shape, NO_FACE, np.int32)
        draw_crops(
            self._vertices, self._faces, self._vertex_start, self._face_start,
            mesh_ids, T_cam_obj, intrinsics, near_m, depth, face_ids,
        )  # fmt: skip
        return Rendering(depth, face_ids)

    def scene(
        self, mesh_ids: npt.NDArray[np.integer], T_cam_obj: FloatArray, camera: Camera, near_m: float = NEAR_M
    ) -> SceneRendering:
        """All instances in one image: mesh_ids (N,), T_cam_obj (N, 4, 4) in metres.

        Raises:
            BinposeError: for an id that is none of a mesh.
        """
        mesh_ids = self._checked_ids(mesh_ids)
        T_cam_obj = np.ascontiguousarray(T_cam_obj, np.float64).reshape(len(mesh_ids), 4, 4)
        depth = np.zeros((camera.height, camera.width), np.float32)
        instances = np.full(depth.shape, -1, np.int32)
        face_ids = np.full(depth.shape, NO_FACE, np.int32)
        threads = numba.get_num_threads()
        strips = min(1 if threads == 1 else 2 * threads, camera.height)
        draw_scene(
            self._vertices, self._faces, self._vertex_start, self._face_start, mesh_ids, T_cam_obj,
            camera.intrinsics, near_m, strips, depth, instances, face_ids,
        )  # fmt: skip
        return SceneRendering(depth, instances, face_ids)

    def crop_normals(
        self, rendering: Rendering, mesh_ids: npt.NDArray[np.integer], T_cam_obj: FloatArray
    ) -> npt.NDArray[np.float32]:
        """Surface normals (B, h, w, 3) float32 in the camera frame, turned towards it; 0 = background."""
        first = self._face_start[self._checked_ids(mesh_ids)]
        index = np.where(rendering.mask, rendering.face_ids + first[:, None, None], -1)
        pose = np.asarray(T_cam_obj, np.float32)[:, None, None]
        return self._turned_normals(index, pose)

    def scene_normals(
        self, rendering: SceneRendering, mesh_ids: npt.NDArray[np.integer], T_cam_obj: FloatArray
    ) -> npt.NDArray[np.float32]:
        """Surface normals (H, W, 3) float32 in the camera frame, turned towards it; 0 = nothing."""
        instance = rendering.instance_ids
        if len(mesh_ids) == 0:
            return np.zeros((*instance.shape, 3), np.float32)
        first = self._face_start[self._checked_ids(mesh_ids)]
        index = np.where(instance >= 0, rendering.face_ids + first[instance], -1)
        return self._turned_normals(index, np.asarray(T_cam_obj, np.float32)[instance])

    def _turned_normals(self, index: npt.NDArray[np.integer], pose: FloatArray) -> npt.NDArray[np.float32]:
        """Normals (..., 3) of faces (...) under poses that broadcast to (..., 4, 4).

        The sign of n . p, the same for all points p of a face's plane, tells which of its sides the camera sees.
        """
        normals = (pose[..., :3, :3] @ self._all_normals[index][..., None])[..., 0]
        away = (normals * pose[..., :3, 3]).sum(-1) + self._all_offsets[index] > 0
        return np.asarray(np.where(away[..., None], -normals, normals))

    def _checked_ids(self, mesh_ids: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        ids = np.ascontiguousarray(mesh_ids, np.int64).reshape(-1)
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self.meshes):
            raise BinposeError(
                f"Mesh ids {ids.min()}..{ids.max()} to render; expected 0..{len(self.meshes) - 1}, "
                "indices of the renderer's meshes."
            )
        return ids


def object_coordinates(depth_m: FloatArray, T_cam_obj: FloatArray, intrinsics: FloatArray) -> FloatArray:
    """Surface points (B, h, w, 3) float32 in the object frame of depth crops (B, h, w), metres.

    Args:
        depth_m: (B, h, w) along the optical axis; background pixels (0) give zeros.
        T_cam_obj: (B, 4, 4) poses, metres.
        intrinsics: (B, 4) fx, fy, cx, cy in pixels of each crop.
    """
    height, width = depth_m.shape[1:]
    fx, fy, cx, cy = (intrinsics[:, i, None, None].astype(np.float32) for i in range(4))
    u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    points = np.stack([(u - cx) / fx * depth_m, (v[:, None] - cy) / fy * depth_m, depth_m], -1)
    rotation, translation = T_cam_obj[:, :3, :3].astype(np.float32), T_cam_obj[:, :3, 3].astype(np.float32)
    points = np.einsum("bji,bhwj->bhwi", rotation, points - translation[:, None, None])
    return points * (depth_m > 0)[..., None]


def _face_offsets(mesh: Mesh, normals: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(F,) of the planes n . p = offset."""
    return np.asarray((mesh.vertices[mesh.faces[:, 0]] * normals).sum(-1, dtype=np.float32))
