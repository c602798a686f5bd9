"""What cameras see of a part, compared with what they see of it after a motion.

Distances to the nearest surface do not show a hole: every point above it is near its rim. Depth does, as the ray goes
through. So depth images from many directions are compared. A pixel differs where its depth lies outside the range
that the other image has around it. Lines one pixel wide are left out: they are rims, which rounding and tessellation
draw differently. Holes, notches and pins that are wider than about 1.5 % of the part remain.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.orbit import FILLED, Orbit, looking_along, view_rotations

VIEW_PX = 320
AROUND = 14
"""Views spread evenly; to them come those along `NORMALS` faces and, both ways, `EDGES` edges, such as holes have."""
NORMALS, EDGES = 12, 8
APART = np.cos(np.deg2rad(3))
FEWEST_PX = 8
"""Fewer differing pixels in an image are rounding."""
BATCH = 6
_AROUND_PIXEL = np.ones((3, 3), np.uint8)
_BLOCK = np.ones((2, 2), np.uint8)


class ViewComparison:
    """Images of a part from all around and along its faces and edges, with which those after a motion are compared.

    Args:
        mesh: of the part, in metres.
        tolerance_m: depths that differ by less are the same.

    Attributes:
        directions: (V, 3) of the views, in the part's frame.
        pixel_m: what one pixel covers at the part.
    """

    def __init__(self, mesh: Mesh, tolerance_m: float) -> None:
        self.directions = np.concatenate([_main_directions(mesh), view_rotations(AROUND)[:, 2]])
        self._orbit = Orbit(mesh, looking_along(self.directions), VIEW_PX)
        self._tolerance_m = tolerance_m
        self.pixel_m = self._orbit.width_m / (FILLED * VIEW_PX)
        self._seen = self._depth_m(np.arange(len(self.directions)), None)

    def same(self, motion: FloatArray) -> bool:
        """Whether no view shows a difference after the motion T_obj_obj (4, 4)."""
        return self._at_most(motion, self._tolerance_m, np.full(len(self._seen), FEWEST_PX - 1))

    def nearly_same(self, motion: FloatArray, tolerance_m: float, share: float) -> bool:
        """Whether in each view depth differs by more than the tolerance at most at this share of the part's pixels."""
        part_px = (self._seen < 10 * self._orbit.width_m).sum(axis=(1, 2))
        return self._at_most(motion, tolerance_m, np.maximum(share * part_px, FEWEST_PX - 1))

    def _at_most(self, motion: FloatArray, tolerance_m: float, most_px: npt.NDArray[Any]) -> bool:
        """Whether no view shows more than so many (V,) differing pixels."""
        views = np.arange(len(self._seen))
        return not any(
            (self.differing(some, motion, tolerance_m).sum(axis=(1, 2)) > most_px[some]).any()
            for some in np.split(views, range(BATCH, len(views), BATCH))
        )

    def differing(
        self, views: npt.NDArray[np.integer], motion: FloatArray, tolerance_m: float | None = None
    ) -> npt.NDArray[np.bool_]:
        """(V, h, w) the pixels of some views that show another depth after the motion T_obj_obj (4, 4)."""
        moved = self._depth_m(views, motion)
        limit_m = self._tolerance_m if tolerance_m is None else tolerance_m
        return np.stack(
            [self._differing(self._seen[view], image, limit_m) for view, image in zip(views, moved, strict=True)]
        )

    def deepest_m(self, view: int, motion: FloatArray, differing: npt.NDArray[np.bool_]) -> tuple[float, bool]:
        """The largest difference of depth among differing pixels (h, w) of a view, and whether one sees through."""
        apart = np.abs(self._depth_m(np.array([view]), motion)[0] - self._seen[view])[differing]
        solid = apart[apart < 10 * self._orbit.width_m]
        return float(solid.max(initial=0.0)), len(solid) < len(apart)

    def _depth_m(self, views: npt.NDArray[np.integer], motion: FloatArray | None) -> npt.NDArray[np.float32]:
        """Depth (V, h, w), the background far behind the part."""
        depth_m = self._orbit.render(views, motion).depth_m
        return np.where(depth_m > 0, depth_m, np.float32(100 * self._orbit.width_m))

    def _differing(
        self, one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], tolerance_m: float
    ) -> npt.NDArray[np.bool_]:
        outside = self._outside(one, other, tolerance_m) | self._outside(other, one, tolerance_m)
        return np.asarray(cv2.morphologyEx(outside.view(np.uint8), cv2.MORPH_OPEN, _BLOCK), bool)

    def _outside(
        self, one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], tolerance_m: float
    ) -> npt.NDArray[np.bool_]:
        """Where one image lies outside the range that the other has within a pixel."""
        nearer = one < cv2.erode(other, _AROUND_PIXEL) - tolerance_m
        farther = one > cv2.dilate(other, _AROUND_PIXEL) + tolerance_m
        return np.asarray(nearer | farther)


def _main_directions(mesh: Mesh) -> FloatArray:
    """Viewing directions (N, 3) onto the largest plane faces and along the edges of most length: holes' axes."""
    areas, normals = mesh.face_areas, mesh.face_normals
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    edges = np.concatenate(
        [corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1], corners[:, 0] - corners[:, 2]]
    )
    lengths = np.linalg.norm(edges, axis=1)
    edges = edges / np.maximum(lengths, 1e-30)[:, None]
    edges *= np.where((edges @ [0.9, 0.43, 0.07] < 0), -1, 1)[:, None]  # both ways along an edge are one direction
    along = _frequent(edges, lengths, EDGES)
    chosen: FloatArray = np.zeros((0, 3))
    for direction in [*-_frequent(normals, areas, NORMALS), *along, *-along]:
        if not (chosen @ direction > APART).any():
            chosen = np.concatenate([chosen, direction[None]])
    return chosen


def _frequent(directions: FloatArray, weights: FloatArray, most: int) -> FloatArray:
    """The directions (at most `most`, 3) of the largest weight among unit vectors (N, 3), alike to a fiftieth."""
    cells = np.rint(50 * directions).astype(np.int64) @ [10_000, 100, 1]
    _, index = np.unique(cells, return_inverse=True)
    index = index.reshape(-1)
    total = np.bincount(index, weights)
    sums = np.stack([np.bincount(index, weights * directions[:, axis]) for axis in range(3)], axis=-1)
    best = np.argsort(-total, kind="stable")[:most]
    best = best[total[best] > 1e-3 * total.sum()]
    means = sums[best]
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))
