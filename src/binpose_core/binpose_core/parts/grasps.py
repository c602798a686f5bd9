"""Grasps of a part in its own frame, as they are stored beside its mesh.

The hand's frame is at its tool centre point: x along the fingers' width, y from finger to finger, z along the approach.
A suction cup has the same frame, with z along its axis into the part.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray

PARALLEL, SUCTION = 0, 1
TOOLS = ("parallel", "suction")
"""Names of the tools; a grasp stores the index."""
RIGID_TOLERANCE = 1e-3
WIDEST_M = 1.0


@dataclass(frozen=True, eq=False)
class GraspSet:
    """N grasps of a part, best first, one of each set of symmetric copies.

    T_obj_hand: (N, 4, 4) float64, metres.
    width_m: (N,) float64, distance of the contacts; 0 for suction.
    quality: (N,) float64 in [0, 1], expected quality over pose errors.
    success: (N,) float64 in [0, 1], fraction of sampled pose errors under which the grasp holds.
    contacts_m: (N, 2, 3) float64, contact points; for suction twice the same.
    tool: (N,) uint8, index into `TOOLS`.
    info: the settings of the search, and the digest of the part that it was made for.
    """

    T_obj_hand: FloatArray
    width_m: FloatArray
    quality: FloatArray
    success: FloatArray
    contacts_m: FloatArray
    tool: npt.NDArray[np.uint8]
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_grasps(self)

    def __len__(self) -> int:
        return len(self.quality)

    @classmethod
    def none(cls, info: Mapping[str, Any] | None = None) -> "GraspSet":
        """Without any grasp."""
        empty = np.zeros(0)
        return cls(
            np.zeros((0, 4, 4)), empty, empty, empty, np.zeros((0, 2, 3)), np.zeros(0, np.uint8), dict(info or {})
        )

    @property
    def axes(self) -> FloatArray:
        """(N, 3) unit direction of what the contacts lie on: from finger to finger, or along the cup's axis."""
        rotation = self.T_obj_hand[:, :3, :3]
        return np.asarray(np.where((self.tool == SUCTION)[:, None], rotation[:, :, 2], rotation[:, :, 1]))

    def take(self, chosen: npt.NDArray[Any]) -> "GraspSet":
        """The grasps of an index or boolean array."""
        chosen_rows: dict[str, Any] = {name: array[chosen] for name, array in grasp_arrays(self).items()}
        return replace(self, **chosen_rows)

    def joined(self, other: "GraspSet") -> "GraspSet":
        """These grasps followed by the other's."""
        theirs = grasp_arrays(other)
        both: dict[str, Any] = {
            name: np.concatenate([array, theirs[name]]) for name, array in grasp_arrays(self).items()
        }
        return replace(self, **both)

    def best_first(self) -> "GraspSet":
        """The same grasps by descending quality."""
        return self.take(np.argsort(-self.quality, kind="stable"))


def check_grasps(grasps: GraspSet) -> None:
    """Refuse arrays that are no grasps.

    Raises:
        BinposeError: one sentence for the first fault.
    """
    n = len(grasps.quality)
    shapes = {"T_obj_hand": (n, 4, 4), "width_m": (n,), "success": (n,), "contacts_m": (n, 2, 3), "tool": (n,)}
    for name, shape in shapes.items():
        if np.shape(getattr(grasps, name)) != shape:
            raise BinposeError(f"GraspSet.{name} has the shape {np.shape(getattr(grasps, name))}; expected {shape}.")
    if n == 0:
        return
    numbers = np.concatenate([np.reshape(getattr(grasps, name), (n, -1)) for name in grasp_arrays(grasps)], 1)
    if bad := _first(~np.isfinite(numbers).all(1)):
        raise BinposeError(f"Grasp {bad - 1} holds a number that is not finite; expected finite numbers.")
    rotation = grasps.T_obj_hand[:, :3, :3]
    error = np.abs(rotation @ np.swapaxes(rotation, 1, 2) - np.eye(3)).max((1, 2))
    if bad := _first((error > RIGID_TOLERANCE) | (np.linalg.det(rotation) < 0)):
        raise BinposeError(
            f"Grasp {bad - 1} has a T_obj_hand that is no rigid motion; expected a rotation and a position."
        )
    if bad := _first((grasps.width_m < 0) | (grasps.width_m > WIDEST_M)):
        raise BinposeError(
            f"Grasp {bad - 1} has the width {grasps.width_m[bad - 1]:g} m; expected 0 to {WIDEST_M:g} m."
        )
    for name in ("quality", "success"):
        values = getattr(grasps, name)
        if bad := _first((values < 0) | (values > 1)):
            raise BinposeError(f"Grasp {bad - 1} has the {name} {values[bad - 1]:g}; expected 0 to 1.")
    if bad := _first(grasps.tool >= len(TOOLS)):
        raise BinposeError(f"Grasp {bad - 1} has the tool {grasps.tool[bad - 1]}; expected 0 to {len(TOOLS) - 1}.")


def _first(bad: npt.NDArray[np.bool_]) -> int:
    """One more than the place of the first true value; 0 if there is none."""
    return int(np.argmax(bad)) + 1 if bad.any() else 0


def grasp_arrays(grasps: GraspSet) -> dict[str, npt.NDArray[Any]]:
    """The arrays by name."""
    return {entry.name: getattr(grasps, entry.name) for entry in fields(grasps) if entry.name != "info"}


def grasps_from_arrays(arrays: Mapping[str, npt.NDArray[Any]], info: Mapping[str, Any]) -> GraspSet:
    """The grasps of stored arrays.

    Raises:
        BinposeError: if one is missing or wrong.
    """
    names = [entry.name for entry in fields(GraspSet) if entry.name != "info"]
    if missing := [name for name in names if name not in arrays]:
        raise BinposeError(
            f"Stored grasps lack {', '.join(missing)}; expected what `binpose grasps` writes; make them again."
        )
    values: dict[str, Any] = {
        name: np.asarray(arrays[name], np.uint8 if name == "tool" else np.float64) for name in names
    }
    return GraspSet(**values, info=dict(info))
