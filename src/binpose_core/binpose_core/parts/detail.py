"""Selects the level of detail for a part's size in the image."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel

TOLERANCE_PX = 0.5


class DetailLadders:
    """All levels of detail of some parts in one sequence of meshes for a `Renderer`, and the selection among them.

    Attributes:
        meshes: of all parts, each part's from fine to coarse.
        first: (P,) int64, the index of each part's full mesh.
    """

    def __init__(self, objects: Sequence[ObjectModel]) -> None:
        self.meshes = tuple(mesh for part in objects for mesh in (part.mesh, *part.lods))
        counts = np.array([1 + len(part.lods) for part in objects], np.int64)
        self.first = np.cumsum(counts) - counts
        # (P, levels): errors increase along a ladder; missing levels of short ladders have an infinite error.
        self._errors_m = np.full((len(objects), int(counts.max(initial=1))), np.inf)
        for part, own in zip(objects, self._errors_m, strict=True):
            own[: 1 + len(part.lods)] = np.maximum.accumulate([0.0, *part.lod_errors_m])
        self._centers = np.array([[*part.center_m, 1.0] for part in objects]).reshape(-1, 4)
        self._radius_m = np.array([part.diameter_m for part in objects]) / 2

    def mesh_ids(
        self,
        part_ids: npt.NDArray[np.integer],
        T_cam_obj: FloatArray,
        intrinsics: FloatArray,
        tolerance_px: float = TOLERANCE_PX,
    ) -> npt.NDArray[np.int64]:
        """The coarsest mesh (B,) whose surface error in the image is at most the tolerance.

        Args:
            part_ids: (B,) indices of the parts.
            T_cam_obj: (B, 4, 4) poses, metres.
            intrinsics: (B, 4) or (4,) fx, fy, cx, cy in pixels.
            tolerance_px: in pixels at the part's nearest point; if the camera is inside the part's bounding sphere, the
                full mesh is returned.
        """
        z = np.einsum("bi,bi->b", np.asarray(T_cam_obj)[:, 2], self._centers[part_ids])
        nearest_m = np.maximum(z - self._radius_m[part_ids], 0.0)
        allowed_m = tolerance_px * nearest_m / np.asarray(intrinsics)[..., :2].max(-1)
        good_enough = self._errors_m[part_ids] <= allowed_m[:, None]
        good_enough[:, 0] = True
        return self.first[part_ids] + good_enough.sum(1) - 1
