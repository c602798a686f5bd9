"""Renders a batch: meshes, poses, cameras -> depth and face ids, from which all other images are derived.

    rendering = Renderer(meshes).crops(mesh_ids, T_cam_obj, intrinsics, height, width)
    rendering.depth_m, .mask, .normals, .object_coordinates, .face_ids, .shaded(colors)

`Renderer.scene` does the same for one image of all parts. The backends in `render_backends.BACKENDS` render depth,
instance and face of every pixel, equal within a tolerance that their test defines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.pixel_surfaces import camera_normals, headlight, surface_points
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.backends import NOTHING, Images, checked_images, make_backend
from binpose_core.rendering.packed_meshes import PackedMeshes

NEAR_M = 0.01
GRAY = (180, 180, 180)


@dataclass(frozen=True, eq=False)
class Rendering:
    """Crops (B, h, w) of one part each; images derived from the arrays are computed on access.

    depth_m: (B, h, w) float32 along the optical axis, 0 = background.
    instance_ids: (B, h, w) int32, the part's index among the rendered ones (the crop's own), -1 = background.
    face_ids: (B, h, w) int32 index of the face in its mesh, -1 = background.
    """

    depth_m: npt.NDArray[np.float32]
    instance_ids: npt.NDArray[np.int32]
    face_ids: npt.NDArray[np.int32]
    images: Images = field(repr=False)
    meshes: PackedMeshes = field(repr=False)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """(B, h, w) true on a part."""
        return self.face_ids != NOTHING

    @property
    def normals(self) -> npt.NDArray[np.float32]:
        """Surface normals (B, h, w, 3) float32 in the camera frame, facing the camera; 0 = background."""
        shape, meshes = self.images.shape, self.meshes
        first_face = meshes.face_start[self.images.mesh_ids]
        normals = camera_normals(
            self.instance_ids.reshape(shape), self.face_ids.reshape(shape), first_face, meshes.normals, meshes.offsets,
            self.images.T_cam_obj,
        )  # fmt: skip
        return normals.reshape(*self.depth_m.shape, 3)

    @property
    def object_coordinates(self) -> npt.NDArray[np.float32]:
        """Surface points (B, h, w, 3) float32 in the frame of the visible part, metres; 0 = background."""
        shape, images = self.images.shape, self.images
        points = surface_points(
            self.depth_m.reshape(shape), self.instance_ids.reshape(shape), images.T_cam_obj, images.intrinsics
        )
        return points.reshape(*self.depth_m.shape, 3)

    def shaded(self, colors: npt.ArrayLike = GRAY) -> npt.NDArray[np.uint8]:
        """RGB (B, h, w, 3) uint8 with a lamp at the camera; black background.

        Args:
            colors: RGB (N, 3) of the rendered parts, or (3,) of all of them, 0 to 255.
        """
        shape, images = self.images.shape, self.images
        each = np.ascontiguousarray(np.broadcast_to(np.asarray(colors, np.uint8), (len(images.mesh_ids), 3)))
        rgb = headlight(self.normals.reshape(*shape, 3), self.instance_ids.reshape(shape), each, images.intrinsics)
        return rgb.reshape(*self.depth_m.shape, 3)


class SceneRendering(Rendering):
    """One image (H, W) of all parts: like `Rendering`, without the leading axis."""


class Renderer:
    """Renders a fixed set of meshes; mesh ids are indices into it.

    Args:
        meshes: in metres, each in its object frame.
        backend: one of `render_backends.BACKENDS`; "numba" needs no GPU; "warp:cuda:1" includes a device.

    Attributes:
        face_normals: per mesh (F, 3) float32, unit length, object frame, in the mesh's own winding.
    """

    def __init__(self, meshes: Sequence[Mesh], backend: str = "numba") -> None:
        self.meshes = tuple(meshes)
        self._packed = PackedMeshes(self.meshes)
        self._backend = make_backend(backend, self._packed)
        self.face_normals = tuple(np.split(self._packed.normals, self._packed.face_start[1:-1])[: len(self.meshes)])

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
            near_m: distance of the near plane.

        Raises:
            BinposeError: for an invalid mesh id or a wrong shape.
        """
        one_each = np.arange(np.size(mesh_ids) + 1)
        images = checked_images(self._packed, mesh_ids, T_cam_obj, one_each, intrinsics, (height, width), near_m)
        drawn = self._backend.draw(images)
        return Rendering(drawn.depth_m, drawn.instance_ids, drawn.face_ids, images, self._packed)

    def scene(
        self, mesh_ids: npt.NDArray[np.integer], T_cam_obj: FloatArray, camera: Camera, near_m: float = NEAR_M
    ) -> SceneRendering:
        """All instances in one image: mesh_ids (N,), T_cam_obj (N, 4, 4) in metres.

        Raises:
            BinposeError: for an invalid mesh id or a wrong shape.
        """
        everything, size = np.array([0, np.size(mesh_ids)]), (camera.height, camera.width)
        images = checked_images(self._packed, mesh_ids, T_cam_obj, everything, camera.intrinsics, size, near_m)
        drawn = self._backend.draw(images)
        return SceneRendering(drawn.depth_m[0], drawn.instance_ids[0], drawn.face_ids[0], images, self._packed)
