"""The rigid motions that map a part onto itself, and their BOP format."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import (
    FloatArray,
    exp_so3,
    from_rotation_translation,
    rotation_angle_rad,
    rotation_from_quat_xyzw,
)

DEFAULT_STEP_RAD = np.pi / 18
SPHERE_ROTATIONS = 512
SAME_ELEMENT_RAD = np.deg2rad(1)


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
                f"A continuous symmetry with axis {self.axis} and offset {self.offset}; expected a direction that is "
                "not zero and a point on the axis, three finite numbers each."
            )
        object.__setattr__(self, "axis", axis / np.linalg.norm(axis))
        object.__setattr__(self, "offset", offset)

    def rotations(self, max_step_rad: float) -> FloatArray:
        """T_obj_obj (K, 4, 4): equal steps of at most max_step_rad over the full turn, identity first."""
        count = max(1, int(np.ceil(2 * np.pi / max_step_rad - 1e-9)))
        return rotations_about(self.axis, self.offset, np.arange(count) * (2 * np.pi / count))


@dataclass(frozen=True, eq=False)
class Symmetries:
    """The symmetries of a part.

    discrete: (S, 4, 4) float64 T_obj_obj, a group with the identity first.
    continuous: axes of revolution.
    near: (M, 4, 4) motions that map most of the surface onto itself except for a detail, without the exact ones.
    """

    discrete: FloatArray
    continuous: tuple[ContinuousSymmetry, ...]
    near: FloatArray
    _cache: dict[tuple[float, bool], FloatArray] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def none(cls) -> "Symmetries":
        """Only the identity."""
        return cls(np.eye(4)[None], (), np.zeros((0, 4, 4)))

    def transforms(self, max_step_rad: float = DEFAULT_STEP_RAD, include_near: bool = False) -> FloatArray:
        """All motions T_obj_obj (K, 4, 4) float64, identity first; read-only, continuous ones sampled in steps."""
        key = (float(max_step_rad), bool(include_near))
        if key not in self._cache:
            self._cache[key] = self._expand(*key)
        return self._cache[key]

    def _expand(self, max_step_rad: float, include_near: bool) -> FloatArray:
        motions = np.concatenate([self.discrete, self.near]) if include_near else self.discrete
        turned = self._turns(max_step_rad)
        motions = (turned[None] @ motions[:, None]).reshape(-1, 4, 4)
        motions.setflags(write=False)
        return motions

    @property
    def center_m(self) -> FloatArray | None:
        """(3,) the centre of a ball, which every rotation keeps in place; None for all other parts."""
        return _crossing(self.continuous[0], self.continuous[1]) if len(self.continuous) > 1 else None

    def _turns(self, max_step_rad: float) -> FloatArray:
        """The continuous symmetries in steps (K, 4, 4); two or more axes give all rotations about their crossing."""
        if not self.continuous:
            return np.eye(4)[None]
        if len(self.continuous) == 1:
            return self.continuous[0].rotations(max_step_rad)
        rotations = even_rotations(min(SPHERE_ROTATIONS, math.ceil(8 * np.pi**2 / max_step_rad**3)))
        rotations = rotations[0].T @ rotations  # the identity first
        center = self.center_m
        return from_rotation_translation(rotations, center - rotations @ center)

    def to_bop(self) -> dict[str, Any]:
        """The entries `symmetries_discrete` and `symmetries_continuous` of BOP's models_info.json, in millimetres.

        BOP omits the identity and empty entries, and has no near-symmetries.
        """
        entries: dict[str, Any] = {}
        if len(self.discrete) > 1:
            entries["symmetries_discrete"] = motions_to_mm(self.discrete[1:])
        if self.continuous:
            entries["symmetries_continuous"] = [
                {"axis": line.axis.tolist(), "offset": (line.offset * 1e3).tolist()} for line in self.continuous
            ]
        return entries

    @classmethod
    def from_bop(cls, entry: Mapping[str, Any], near: Sequence[Sequence[float]] = ()) -> "Symmetries":
        """From an object's entry in BOP's models_info.json; missing keys mean none.

        Args:
            entry: with `symmetries_discrete` (16 numbers each, millimetres) and `symmetries_continuous` (axis, offset).
            near: near-symmetries, in the format of discrete ones.

        Raises:
            BinposeError: for an entry that is not a rigid motion or axis.
        """
        try:
            continuous = tuple(
                ContinuousSymmetry(np.asarray(line["axis"], float), np.asarray(line["offset"], float) / 1e3)
                for line in entry.get("symmetries_continuous", ())
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BinposeError(
                f"symmetries_continuous could not be read ({error!r}); expected a list of axis and offset, three "
                "numbers each."
            ) from error
        if _all_parallel(continuous):
            raise BinposeError(
                f"symmetries_continuous lists {len(continuous)} parallel axes; expected one axis, or several in other "
                "directions for a ball; leave the others out."
            )
        listed = motions_from_mm(entry.get("symmetries_discrete", ()))
        others = [motion for motion in listed if not np.allclose(motion, np.eye(4), atol=1e-6)]
        return cls(np.stack([np.eye(4), *others]), continuous, motions_from_mm(near))


def motions_to_mm(motions: FloatArray) -> list[list[float]]:
    """The 16 numbers of each motion (K, 4, 4) in metres, row by row, with the translation in millimetres."""
    scaled = np.array(motions, dtype=np.float64)
    scaled[:, :3, 3] *= 1e3
    return [[float(number) for number in row] for row in scaled.reshape(-1, 16)]


def motions_from_mm(rows: Sequence[Sequence[float]]) -> FloatArray:
    """Motions (K, 4, 4) in metres of rows of 16 numbers; the inverse of `motions_to_mm`.

    Raises:
        BinposeError: for a row that is not a rigid motion.
    """
    motions = []
    for row in rows:
        motion = np.array(row, dtype=np.float64)
        if motion.size == 16:
            motion = motion.reshape(4, 4)
            motion[:3, 3] /= 1e3
        rigid = motion.shape == (4, 4) and np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-3)
        if not rigid or np.linalg.det(motion[:3, :3]) < 0 or not np.allclose(motion[3], (0, 0, 0, 1)):
            raise BinposeError(
                f"A symmetry of {np.size(row)} numbers is not a rigid motion; expected the 16 of a 4x4 matrix, row "
                "by row, rotation orthonormal and right-handed, translation in millimetres; correct it."
            )
        motions.append(motion)
    return np.stack(motions) if motions else np.zeros((0, 4, 4))


def rotations_about(axis: FloatArray, offset: FloatArray, angles_rad: FloatArray) -> FloatArray:
    """T (K, 4, 4) that rotate by angles_rad (K,) about the line through offset (3,) along the unit axis (3,)."""
    rotation = exp_so3(np.asarray(angles_rad)[:, None] * axis)
    return from_rotation_translation(rotation, offset - rotation @ offset)


def even_rotations(count: int) -> FloatArray:
    """Rotations (count, 3, 3) distributed evenly over SO(3).

    Source: Alexa, Super-Fibonacci Spirals: Fast, Low-Discrepancy Sampling of SO(3), CVPR 2022.
    """
    place = np.arange(count) + 0.5
    inner, outer = np.sqrt(place / count), np.sqrt(1 - place / count)
    alpha, beta = 2 * np.pi * place / np.sqrt(2), 2 * np.pi * place / 1.533751168755204288118041
    quat = [inner * np.sin(alpha), inner * np.cos(alpha), outer * np.sin(beta), outer * np.cos(beta)]
    return rotation_from_quat_xyzw(np.stack(quat, -1))


def closed_group(generators: Sequence[FloatArray], most: int) -> FloatArray | None:
    """The finite group (S, 4, 4) of motions, identity first; None if it has more than `most` elements.

    Inaccurate generators are corrected to the nearest exact group.
    """
    group: list[FloatArray] = [np.eye(4)]
    fresh = list(generators)
    while fresh:
        motion = fresh.pop()
        if rotation_angle_rad(np.stack(group)[:, :3, :3], motion[:3, :3]).min() < SAME_ELEMENT_RAD:
            continue
        group.append(motion)
        if len(group) > most:
            return None
        fresh += [generator @ motion for generator in generators]
    return _sharpened(np.stack(group))


def _sharpened(group: FloatArray) -> FloatArray:
    """An approximate group (S, 4, 4) refined to machine precision.

    Each rotation becomes the mean of all products that should equal it (Grove, Karcher, Ruh 1974: this converges
    quadratically). All rotate about the mean of the orbit of their common centre.
    """
    rotation = group[:, :3, :3]
    for _ in range(4):
        products = rotation[:, None] @ rotation[None]
        which = np.linalg.norm(products[:, :, None] - rotation, axis=(-1, -2)).argmin(-1)
        means = np.einsum("abij,bkj->aik", rotation[which], rotation)  # the sum over b of R_ab R_b^T
        u, _, v = np.linalg.svd(means)
        rotation = u @ v
    middle = group[:, :3, 3].mean(axis=0)  # the orbit of the origin; every element keeps its mean in place
    return from_rotation_translation(rotation, middle - rotation @ middle)


def _all_parallel(lines: Sequence[ContinuousSymmetry]) -> bool:
    """Whether there are several axes and the first two, which define the centre of a ball, are parallel."""
    return len(lines) > 1 and float(np.linalg.norm(np.cross(lines[0].axis, lines[1].axis))) < SAME_ELEMENT_RAD


def _crossing(a: ContinuousSymmetry, b: ContinuousSymmetry) -> FloatArray:
    """The point (3,) nearest to both axes."""
    across = [np.eye(3) - np.outer(line.axis, line.axis) for line in (a, b)]
    return np.asarray(np.linalg.solve(across[0] + across[1], across[0] @ a.offset + across[1] @ b.offset))
