"""The rigid motions under which a part looks the same, and BOP's way of writing them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray, exp_so3, from_rotation_translation

DEFAULT_STEP_RAD = np.pi / 18


@dataclass(frozen=True, eq=False)
class ContinuousSymmetry:
    """Every rotation about the line through `offset` (3,) in metres along the unit vector `axis` (3,)."""

    axis: FloatArray
    offset: FloatArray

    def __post_init__(self) -> None:
        axis = np.asarray(self.axis, dtype=np.float64).reshape(-1)
        offset = np.asarray(self.offset, dtype=np.float64).reshape(-1)
        if axis.shape != (3,) or offset.shape != (3,) or not np.isfinite([*axis, *offset]).all() or not axis.any():
            raise BinposeError(
                f"A continuous symmetry with axis {self.axis} and offset {self.offset}; expected a direction that is not "
                "zero and a point on the axis, three finite numbers each."
            )
        object.__setattr__(self, "axis", axis / np.linalg.norm(axis))
        object.__setattr__(self, "offset", offset)

    def rotations(self, max_step_rad: float) -> FloatArray:
        """T_obj_obj (K, 4, 4): equal steps of at most max_step_rad over the whole turn, identity first."""
        count = max(1, int(np.ceil(2 * np.pi / max_step_rad - 1e-9)))
        return rotations_about(self.axis, self.offset, np.arange(count) * (2 * np.pi / count))


@dataclass(frozen=True, eq=False)
class Symmetries:
    """The symmetries of a part.

    discrete: (S, 4, 4) float64 T_obj_obj, a group with the identity first.
    continuous: axes of revolution.
    near: (M, 4, 4) motions that map most of the surface onto itself but for a detail, without the exact ones.
    """

    discrete: FloatArray
    continuous: tuple[ContinuousSymmetry, ...]
    near: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cache", lru_cache(maxsize=16)(self._expand))

    @classmethod
    def none(cls) -> "Symmetries":
        """Only the identity."""
        return cls(np.eye(4)[None], (), np.zeros((0, 4, 4)))

    def transforms(self, max_step_rad: float = DEFAULT_STEP_RAD, include_near: bool = False) -> FloatArray:
        """All motions T_obj_obj (K, 4, 4) float64, identity first; read-only, continuous ones in steps."""
        return self._cache(float(max_step_rad), bool(include_near))  # type: ignore[attr-defined]

    def _expand(self, max_step_rad: float, include_near: bool) -> FloatArray:
        motions = np.concatenate([self.discrete, self.near]) if include_near else self.discrete
        for symmetry in self.continuous:
            turned = symmetry.rotations(max_step_rad)
            motions = (turned[:, None] @ motions[None]).reshape(-1, 4, 4)
        motions.setflags(write=False)
        return motions


def rotations_about(axis: FloatArray, offset: FloatArray, angles_rad: FloatArray) -> FloatArray:
    """T (K, 4, 4) that turn by angles_rad (K,) about the line through offset (3,) along the unit axis (3,)."""
    rotation = exp_so3(np.asarray(angles_rad)[:, None] * axis)
    return from_rotation_translation(rotation, offset - rotation @ offset)
