"""Comparison of poses modulo symmetry, and intersections of solids."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.parts.catalogue import ObjectModel
from binpose_refinement.hypothesis_batch import HypothesisBatch
from binpose_refinement.kernels.suppression import mark_distinct, mark_rivals

COMPARED_POINTS = 24
INTRUSION_POINTS = 128
INTRUSION_DEPTH = 0.03  # of the smaller diameter, and at least INTRUSION_DEPTH_M
INTRUSION_DEPTH_M = 0.0015
SAME_CENTER = 0.1  # of the diameter
SYMMETRY_STEP_RAD = np.pi / 12


class PoseComparer:
    """Compares poses modulo the exact symmetries of their parts."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        parts = list(objects.values())
        self._points = np.stack([_spread(part.points, COMPARED_POINTS) for part in parts])
        motions = [np.asarray(part.symmetries.transforms(SYMMETRY_STEP_RAD), np.float64) for part in parts]
        self._first = np.cumsum([0, *(len(m) for m in motions)]).astype(np.int64)
        self._motions = np.ascontiguousarray(np.concatenate(motions))
        self._diameter_m = np.array([part.diameter_m for part in parts])

    def distinct(
        self, batch: HypothesisBatch, score: FloatArray, same_pose: float, keep: int, of_each_object: int = 1
    ) -> npt.NDArray[np.int64]:
        """Indices of the best `keep` distinct poses of each detection, best first within a detection.

        The best `of_each_object` distinct poses of each object are always kept, so that similar parts are compared
        until the end.

        Args:
            batch: B hypotheses.
            score: (B,), by which they are ranked.
            same_pose: mean surface distance below which poses are equal, as a fraction of the diameter.
            keep: how many per detection.
            of_each_object: how many per detection and object at least.
        """
        order = np.lexsort((-score, batch.owner)).astype(np.int64)
        by_object = np.lexsort((-score, batch.part, batch.owner)).astype(np.int64)
        pair = batch.owner * (int(batch.part.max(initial=0)) + 1) + batch.part
        kept = self._marked(batch, order, batch.owner[order], same_pose, keep)
        kept |= self._marked(batch, by_object, pair[by_object], same_pose, of_each_object)
        return order[kept[order]]

    def _marked(
        self,
        batch: HypothesisBatch,
        order: npt.NDArray[np.int64],
        group: npt.NDArray[np.int64],
        same_pose: float,
        keep: int,
    ) -> npt.NDArray[np.bool_]:
        """(B,) the first `keep` distinct poses of each group; order (B,) of the rows, group (B,) rising along it."""
        bounds = np.append(np.unique(group, return_index=True)[1], len(order)).astype(np.int64)
        chosen = np.zeros(len(order), dtype=np.bool_)
        mark_distinct(
            order, bounds, batch.part, np.ascontiguousarray(batch.T_cam_obj, np.float64), self._points,
            self._motions, self._first, same_pose * self._diameter_m, keep, chosen,
        )  # fmt: skip
        marked = np.zeros(len(order), dtype=np.bool_)
        marked[order[chosen]] = True
        return marked

    def rivals(self, batch: HypothesisBatch, least: float) -> npt.NDArray[np.int64]:
        """Pairs (P, 2) of hypotheses of one detection that cannot both be right.

        They are of different objects, or their surfaces are on average at least `least` of the diameter apart.
        """
        order = np.argsort(batch.owner, kind="stable").astype(np.int64)
        bounds = np.append(np.unique(batch.owner[order], return_index=True)[1], len(order)).astype(np.int64)
        apart = np.zeros((len(order), len(order)), np.bool_)
        mark_rivals(
            order, bounds, batch.part, np.ascontiguousarray(batch.T_cam_obj, np.float64), self._points,
            self._motions, self._first, least * self._diameter_m, apart,
        )  # fmt: skip
        return np.argwhere(apart)


class CollisionCheck:
    """Checks whether two solid parts occupy the same space."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        from scipy.spatial import cKDTree

        self._parts = tuple(objects.values())
        self._trees = [cKDTree(part.points) for part in self._parts]
        self._samples = [_spread(part.points, INTRUSION_POINTS).astype(np.float64) for part in self._parts]

    def intrusion(self, part_a: int, T_cam_a: FloatArray, part_b: int, T_cam_b: FloatArray) -> float:
        """The larger fraction of one part's surface that lies inside the other; 0 where a mesh is not closed.

        Two parts of one object with nearly the same centre count as fully inside: their surfaces may coincide.
        """
        a, b = self._parts[part_a], self._parts[part_b]
        center_a = transform(T_cam_a, a.center_m[None])[0]
        center_b = transform(T_cam_b, b.center_m[None])[0]
        distance = np.linalg.norm(center_a - center_b)
        if part_a == part_b and distance < SAME_CENTER * a.diameter_m:
            return 1.0
        if distance > 0.5 * (a.diameter_m + b.diameter_m):
            return 0.0
        depth = max(INTRUSION_DEPTH * min(a.diameter_m, b.diameter_m), INTRUSION_DEPTH_M)
        return max(
            self._inside(part_a, inverse(T_cam_b) @ T_cam_a, part_b, depth),
            self._inside(part_b, inverse(T_cam_a) @ T_cam_b, part_a, depth),
        )

    def _inside(self, part_a: int, T_b_a: FloatArray, part_b: int, depth_m: float) -> float:
        """Fraction of a's samples that lie deeper than depth_m below b's surface."""
        solid = self._parts[part_b]
        if not solid.watertight:
            return 0.0
        points = transform(T_b_a, self._samples[part_a])
        near = np.linalg.norm(points - solid.center_m, axis=1) < 0.5 * solid.diameter_m
        if not near.any():
            return 0.0
        distance, index = self._trees[part_b].query(points[near])
        side = ((points[near] - solid.points[index]) * solid.normals[index]).sum(1)
        return float(np.count_nonzero((side < 0) & (distance > depth_m)) / len(points))


def _spread(points: FloatArray, count: int) -> FloatArray:
    """(count, 3) of the points that lie far from each other (farthest point sampling)."""
    points = np.asarray(points, np.float64)
    points = points[:: max(1, len(points) // 1024)]
    chosen = [int(np.linalg.norm(points - points.mean(0), axis=1).argmax())]
    nearest = np.full(len(points), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return points[chosen]
