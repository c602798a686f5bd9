"""Which poses are the same, and which parts cannot be there together."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from binpose_core.catalogue import ObjectModel
from binpose_core.geometry import FloatArray, inverse, transform
from binpose_refinement.batch import Batch

COMPARED_POINTS = 24
INTRUSION_POINTS = 128
INTRUSION_DEPTH = 0.03  # of the smaller diameter, and at least INTRUSION_DEPTH_M
INTRUSION_DEPTH_M = 0.0015
SYMMETRY_STEP_RAD = np.pi / 12


class PoseComparer:
    """Tells poses apart modulo the exact symmetries of their parts."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        parts = list(objects.values())
        self._points = np.stack([_spread(part.points, COMPARED_POINTS) for part in parts])
        motions = [np.asarray(part.symmetries.transforms(SYMMETRY_STEP_RAD), np.float64) for part in parts]
        self._first = np.cumsum([0, *(len(m) for m in motions)]).astype(np.int64)
        self._motions = np.ascontiguousarray(np.concatenate(motions))
        self._diameter_m = np.array([part.diameter_m for part in parts])

    def distinct(self, batch: Batch, score: FloatArray, same_pose: float, keep: int) -> npt.NDArray[np.int64]:
        """Indices of the best `keep` different poses of each detection, best first within a detection.

        Args:
            score: (B,); same_pose: mean surface distance that is still the same, share of the diameter.
        """
        order = np.lexsort((-score, batch.owner)).astype(np.int64)
        owners, first = np.unique(batch.owner[order], return_index=True)
        bounds = np.append(first, len(order)).astype(np.int64)
        chosen = np.zeros(len(order), dtype=np.bool_)
        _distinct(
            order, bounds, batch.part, np.ascontiguousarray(batch.T_cam_obj, np.float64), self._points,
            self._motions, self._first, same_pose * self._diameter_m, keep, chosen,
        )  # fmt: skip
        return order[chosen]


@njit(parallel=True, cache=True)
def _distinct(order, bounds, part, T_cam_obj, points, motions, first, limit_m, keep, chosen):
    for group in prange(len(bounds) - 1):
        kept = np.empty(keep, np.int64)
        count = 0
        for i in range(bounds[group], bounds[group + 1]):
            if count == keep:
                break
            a = order[i]
            new = True
            for k in range(count):
                if part[kept[k]] == part[a]:
                    p = part[a]
                    distance = _distance(
                        T_cam_obj[a], T_cam_obj[kept[k]], points[p], motions[first[p] : first[p + 1]], limit_m[p]
                    )
                    if distance < limit_m[p]:
                        new = False
                        break
            if new:
                chosen[i] = True
                kept[count] = a
                count += 1


@njit
def _distance(T_a, T_b, points, motions, limit):
    """Mean distance of the points under two poses, the least over all motions that look the same."""
    best = 1e9
    for s in range(motions.shape[0]):
        T = T_b @ motions[s]
        total = 0.0
        for k in range(points.shape[0]):
            square = 0.0
            for i in range(3):
                d = T_a[i, 3] - T[i, 3]
                for j in range(3):
                    d += (T_a[i, j] - T[i, j]) * points[k, j]
                square += d * d
            total += np.sqrt(square)
        best = min(best, total / points.shape[0])
        if best < limit:
            break
    return best


class Crowding:
    """Tells whether two solid parts would share space."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        from scipy.spatial import cKDTree

        self._parts = tuple(objects.values())
        self._trees = [cKDTree(part.points) for part in self._parts]
        self._samples = [_spread(part.points, INTRUSION_POINTS).astype(np.float64) for part in self._parts]

    def intrusion(self, part_a: int, T_cam_a: FloatArray, part_b: int, T_cam_b: FloatArray) -> float:
        """The larger share of one part's surface that lies inside the other; 0 where a mesh is not closed."""
        a, b = self._parts[part_a], self._parts[part_b]
        center_a = transform(T_cam_a, a.center_m[None])[0]
        center_b = transform(T_cam_b, b.center_m[None])[0]
        if np.linalg.norm(center_a - center_b) > 0.5 * (a.diameter_m + b.diameter_m):
            return 0.0
        depth = max(INTRUSION_DEPTH * min(a.diameter_m, b.diameter_m), INTRUSION_DEPTH_M)
        return max(
            self._inside(part_a, inverse(T_cam_b) @ T_cam_a, part_b, depth),
            self._inside(part_b, inverse(T_cam_a) @ T_cam_b, part_a, depth),
        )

    def _inside(self, part_a: int, T_b_a: FloatArray, part_b: int, depth_m: float) -> float:
        """Share of a's samples that lie deeper than depth_m below b's surface."""
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


class Claims:
    """Which pixels are already explained by an accepted part."""

    def __init__(self, height: int, width: int) -> None:
        self._taken = np.zeros((height, width), dtype=np.bool_)

    def share(self, explained: npt.NDArray[np.uint8], window: FloatArray) -> float:
        """Share of a hypothesis' agreeing pixels (h, w) in its window (3,) that others claimed; 0 if it has none."""
        taken, total = _visit(self._taken, explained, window, False)
        return taken / total if total else 0.0

    def claim(self, explained: npt.NDArray[np.uint8], window: FloatArray) -> None:
        """Mark the agreeing pixels as explained."""
        _visit(self._taken, explained, window, True)


@njit(cache=True)
def _visit(taken, explained, window, mark):
    """Count pixels of the crop that are taken, and all; mark them (with the gaps between) if asked."""
    u0, v0, step = int(window[0]), int(window[1]), int(window[2])
    hits = total = 0
    for v in range(explained.shape[0]):
        for u in range(explained.shape[1]):
            row, column = v0 + step * v, u0 + step * u
            if explained[v, u] == 0 or row < 0 or column < 0 or row >= taken.shape[0] or column >= taken.shape[1]:
                continue
            total += 1
            hits += taken[row, column]
            if mark:
                taken[row : row + step, column : column + step] = True
    return hits, total


def _spread(points: FloatArray, count: int) -> FloatArray:
    """count of the points (count, 3) that lie far from each other (farthest point sampling)."""
    points = np.asarray(points, np.float64)
    points = points[:: max(1, len(points) // 1024)]
    chosen = [int(np.linalg.norm(points - points.mean(0), axis=1).argmax())]
    nearest = np.full(len(points), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return points[chosen]
