"""The default backend: the z-buffer on the CPU, parallel over images, and over strips of rows of few large ones."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.rendering.backends import Drawn, Images
from binpose_core.rendering.packed_meshes import PackedMeshes
from binpose_core.rendering.rasterizer import draw_images, draw_strips, project_instances

Array = npt.NDArray[Any]
STRIPS_PER_THREAD = 2
LEAST_STRIP_PX = 16


class NumbaBackend:
    """The z-buffer on all of numba's threads."""

    def __init__(self, meshes: PackedMeshes) -> None:
        self._meshes = meshes
        # Of a body that lies past the near plane as a whole no back is seen: half of its faces need no drawing.
        self._solid = np.array([mesh.solid for mesh in meshes.meshes], np.bool_)

    def draw(self, images: Images) -> Drawn:
        """The nearest surface under every pixel."""
        shape, threads = images.shape, numba.get_num_threads()
        drawn = Drawn(np.empty(shape, np.float32), np.empty(shape, np.int32), np.empty(shape, np.int32))
        strips = strips_of_rows(*shape[:2], threads)
        scene = (
            *(self._meshes.vertices, self._meshes.faces, self._meshes.vertex_start, self._meshes.face_start),
            *(self._solid, images.mesh_ids, images.T_cam_obj, images.first_instance, images.intrinsics, images.near_m),
        )
        pixels = drawn.depth_m, drawn.instance_ids, drawn.face_ids
        if strips is None:
            draw_images(*scene, *pixels)
        else:
            draw_strips(*scene, *strips, *self._projected(images), *pixels)
        return drawn

    def _projected(self, images: Images) -> tuple[Array, Array, Array, Array]:
        """What the strips of an image share: `rasterizer.project_instances`."""
        vertex_start, count = self._meshes.vertex_start, len(images.mesh_ids)
        start = np.append(0, np.cumsum(np.diff(vertex_start)[images.mesh_ids]))
        projected, in_front, reach = np.empty((start[-1], 3)), np.empty(count, np.bool_), np.empty((count, 2))
        image_of = np.repeat(np.arange(len(images.intrinsics)), np.diff(images.first_instance))
        project_instances(
            self._meshes.vertices, vertex_start, images.mesh_ids, images.T_cam_obj, image_of, images.intrinsics,
            images.near_m, start, projected, in_front, reach,
        )  # fmt: skip
        return start, projected, in_front, reach


def strips_of_rows(images: int, height: int, threads: int) -> tuple[int, int] | None:
    """Into how many groups of how many strips of rows each image is cut, a group for a thread; None = not at all.

    Every strip costs another look at all triangles, so that images are cut only where they are too few for the threads,
    and never into strips of less than `LEAST_STRIP_PX` rows.
    """
    groups = min(threads, height // LEAST_STRIP_PX)
    if groups < 2 or images >= STRIPS_PER_THREAD * threads:
        return None
    return groups, min(STRIPS_PER_THREAD, height // (LEAST_STRIP_PX * groups))
