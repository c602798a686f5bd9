"""A user's own grasps as JSON, checked where they come in.

    {
      "format": "binpose_grasps/1",
      "object_id": "gearmotor",
      "grasps": [
        {"position_m": [0.0, 0.0, 0.012], "quat_xyzw": [1.0, 0.0, 0.0, 0.0], "width_m": 0.024},
        {"position_m": [0.0, 0.0, 0.02], "quat_xyzw": [1.0, 0.0, 0.0, 0.0], "tool": "suction", "quality": 0.5}
      ]
    }

Position and orientation are those of the hand's tool centre point in the frame of the CAD file: y from finger to
finger, z along the approach. `width_m` is the distance of the contacts; `tool`, `quality` and `success` are optional.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.errors import BadFile
from binpose_core.base.files import read_json, write_json
from binpose_core.geometry.transforms import (
    FloatArray,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    rotation_from_quat_xyzw,
)
from binpose_core.parts.grasps import SUCTION, TOOLS, GraspSet

FORMAT = "binpose_grasps/1"
KEYS = ("position_m", "quat_xyzw", "width_m", "tool", "quality", "success")
FARTHEST_M = 2.0
MOST = 10_000


def read_grasps(path: Path | str, object_id: str) -> GraspSet:
    """The grasps in a JSON file, in its order.

    Args:
        path: of the file.
        object_id: the part that they are for.

    Raises:
        BinposeError: for a file that is no such file, naming the entry, what it holds and what was expected.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise BadFile(f"{path} has the format {found!r}; expected {FORMAT!r}; see docs/grasps.md.", path)
    if data.get("object_id") != object_id:
        raise BadFile(
            f"{path} holds grasps of {data.get('object_id')!r}; expected {object_id!r}; give the file of this part.",
            path,
        )
    entries = data.get("grasps")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST:
        raise BadFile(f"{path} has no list of grasps; expected 1 to {MOST} of them; see docs/grasps.md.", path)
    return _joined([_Entry(path, number, entry) for number, entry in enumerate(entries)])


def write_grasps(path: Path | str, object_id: str, grasps: GraspSet) -> None:
    """Write grasps as such a file, whole or not at all."""
    quaternions = quat_xyzw_from_rotation(grasps.T_obj_hand[:, :3, :3])
    entries = [
        {
            "position_m": grasps.T_obj_hand[n, :3, 3],
            "quat_xyzw": quaternions[n],
            "width_m": grasps.width_m[n],
            "tool": TOOLS[grasps.tool[n]],
            "quality": grasps.quality[n],
            "success": grasps.success[n],
        }
        for n in range(len(grasps))
    ]
    write_json(path, {"format": FORMAT, "object_id": object_id, "grasps": entries})


class _Entry:
    """One grasp of the file, with errors that name it."""

    def __init__(self, path: Path | str, number: int, entry: Any) -> None:
        self._path, self._number = path, number
        if not isinstance(entry, Mapping):
            raise self._refused("is no object", "position_m, quat_xyzw and width_m")
        self._entry = entry
        if unknown := [key for key in entry if key not in KEYS]:
            raise self._refused(f"has the unknown key {unknown[0]!r}", f"only {', '.join(KEYS)}")
        self.tool = self._tool()
        self.T_obj_hand = self._pose()
        self.width_m = self._number_of("width_m", 0.0 if self.tool == SUCTION else None, 1.0)
        self.quality, self.success = self._number_of("quality", 1.0, 1.0), self._number_of("success", 1.0, 1.0)

    def _refused(self, found: str, expected: str) -> BadFile:
        return BadFile(
            f"Grasp {self._number} in {self._path} {found}; expected {expected}; correct the file.", self._path
        )

    def _tool(self) -> int:
        name = self._entry.get("tool", TOOLS[0])
        if name not in TOOLS:
            raise self._refused(f"has the tool {name!r}", " or ".join(TOOLS))
        return TOOLS.index(name)

    def _pose(self) -> FloatArray:
        quaternion = self._vector("quat_xyzw", 4, 1.001)
        if abs(np.linalg.norm(quaternion) - 1) > 1e-3:
            raise self._refused(f"has a quat_xyzw of length {np.linalg.norm(quaternion):.3g}", "length 1")
        return from_rotation_translation(rotation_from_quat_xyzw(quaternion), self._vector("position_m", 3, FARTHEST_M))

    def _vector(self, key: str, count: int, largest: float) -> FloatArray:
        value = self._entry.get(key)
        if (
            not isinstance(value, Sequence)
            or len(value) != count
            or not all(_is_number(item, largest) for item in value)
        ):
            raise self._refused(f"has {key} {value!r}", f"{count} numbers between -{largest:g} and {largest:g}")
        return np.array(value, np.float64)

    def _number_of(self, key: str, default: float | None, largest: float) -> float:
        value = self._entry.get(key, default)
        if not _is_number(value, largest) or value < 0:
            raise self._refused(f"has {key} {value!r}", f"a number from 0 to {largest:g}")
        return float(value)


def _is_number(value: Any, largest: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) <= largest


def _joined(entries: Sequence[_Entry]) -> GraspSet:
    T_obj_hand = np.stack([entry.T_obj_hand for entry in entries])
    width_m = np.array([entry.width_m for entry in entries])
    half = T_obj_hand[:, :3, 1] * width_m[:, None] / 2
    contacts = np.stack([T_obj_hand[:, :3, 3] - half, T_obj_hand[:, :3, 3] + half], 1)
    quality = np.array([entry.quality for entry in entries])
    success = np.array([entry.success for entry in entries])
    tool = np.array([entry.tool for entry in entries], np.uint8)
    return GraspSet(T_obj_hand, width_m, quality, success, contacts, tool)
