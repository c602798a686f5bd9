"""The errors of the poses of one part, with shared values computed once: fast twins of `evaluation.metrics`."""

from collections.abc import Callable
from itertools import product
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.spatial import cKDTree

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation import metrics
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse, transform
from binpose_core.parts.catalogue import ObjectModel

ErrorName = Literal["add_s", "add", "adi", "mssd"]
ERROR_NAMES: tuple[ErrorName, ...] = get_args(ErrorName)
Maxima: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]
"""The maximum error (...) under each true pose (..., 4, 4) of points (N, 3)."""
BOP_SYMMETRY_STEP_RAD = 0.02
"""BOP turns continuous symmetries so that no vertex moves by more than 1 % of the diameter per step."""
_DIRECTIONS = np.array([d for d in product((-1.0, 0.0, 1.0), repeat=3) if any(d)])


class PartErrors:
    """Errors in metres (MSPD: pixels) of poses (4, 4) of one part.

    ADD and ADI are means over the part's surface samples, which are even where a CAD mesh has few
    large faces; MSSD and MSPD are maxima over its vertices, as in BOP.

    Attributes:
        symmetric: whether ADD-S of the part is ADI.
    """

    def __init__(self, model: ObjectModel) -> None:
        self.diameter_m = model.diameter_m
        self.center_m = np.asarray(model.center_m, dtype=np.float64)
        self.points = np.asarray(model.points, dtype=np.float64)
        self.vertices = np.asarray(model.mesh.vertices, dtype=np.float64)
        self.symmetries = model.symmetries.transforms(max_step_rad=BOP_SYMMETRY_STEP_RAD)
        self.symmetric = len(self.symmetries) > 1
        self._ball_m = model.symmetries.center_m
        self._hull = metrics.hull_vertices(self.vertices)
        self._extremes = self._hull[np.unique((self._hull @ _DIRECTIONS.T).argmax(axis=0))]
        self._tree = cKDTree(self.points)
        self._low, self._high = self.points.min(axis=0), self.points.max(axis=0)

    def _looking_alike(self, T_est: FloatArray, T_gt: FloatArray) -> FloatArray:
        """True poses (S, 4, 4) that look the same; of a ball the one turned as the estimate, no other is nearer."""
        if self._ball_m is None:
            return T_gt @ self.symmetries
        turn = T_gt[:3, :3].T @ T_est[:3, :3]
        return (T_gt @ from_rotation_translation(turn, self._ball_m - turn @ self._ball_m))[None]

    def error(self, name: ErrorName, T_est: FloatArray, T_gt: FloatArray) -> float:
        """The error of that name in metres."""
        if name == "mssd":
            alike = self._looking_alike(np.asarray(T_est), np.asarray(T_gt))
            return self._least(lambda T_gt, points: metrics.metre_maxima(T_est, T_gt, points), alike, self._hull)
        if name == "adi" or (name == "add_s" and self.symmetric):
            return metrics.adi(T_est, T_gt, self.points, self._tree)
        return metrics.add(T_est, T_gt, self.points)

    def matrix(self, name: ErrorName, T_est: FloatArray, T_gt: FloatArray, limit_m: float) -> FloatArray:
        """Errors (E, G) in metres of poses (E, 4, 4) against (G, 4, 4), infinite for what exceeds limit_m.

        Raises:
            BinposeError: for a name that is not in ERROR_NAMES.
        """
        if name not in ERROR_NAMES:
            raise BinposeError(f"No pose error {name!r}; there are: {', '.join(ERROR_NAMES)}; choose one of them.")
        errors = np.full((len(T_est), len(T_gt)), np.inf)
        for row, column in np.ndindex(errors.shape):
            if self._lower_bound(T_est[row], T_gt[column]) <= limit_m:
                error = self.error(name, T_est[row], T_gt[column])
                errors[row, column] = error if error <= limit_m else np.inf
        return errors

    def mspd(self, T_est: FloatArray, T_gt: FloatArray, camera: Camera) -> float:
        """MSPD in pixels."""
        alike = self._looking_alike(np.asarray(T_est), np.asarray(T_gt))
        return self._least(lambda T_gt, points: metrics.pixel_maxima(T_est, T_gt, points, camera), alike, self.vertices)

    def _least(self, maxima: Maxima, candidates: FloatArray, points: FloatArray) -> float:
        """The minimum over poses (S, 4, 4) of the maximum over the points.

        A few of the points bound the maximum from below for every pose; all of them are looked at only for those poses
        that can still be the best.
        """
        bounds = maxima(candidates, self._extremes)
        best = np.inf
        for index in np.argsort(bounds):
            if bounds[index] >= best:
                break
            best = min(best, float(maxima(candidates[index], points)))
        return best

    def _lower_bound(self, T_est: FloatArray, T_gt: FloatArray) -> float:
        """No error is below the mean distance of the true points to the box around the estimated ones."""
        points = transform(inverse(np.asarray(T_est, dtype=np.float64)) @ T_gt, self.points)
        outside = np.maximum(self._low - points, points - self._high)
        return float(np.linalg.norm(np.maximum(outside, 0.0), axis=-1).mean())
