"""Recorded picks and their file `outcomes.json`.

    {
      "format": "binpose_outcomes/1",
      "frames": {
        "000007_000000": [
          {"object_id": "gearmotor", "T_cam_obj": [[...], [...], [...], [...]], "succeeded": true, "width_m": 0.024}
        ]
      }
    }

Frames are named as their source names them. `T_cam_obj` is the estimated pose that was grasped at, 4x4 in metres. Other
keys of an entry, such as `width_m`, are details that are kept as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BadFile
from binpose_core.base.files import write_json
from binpose_core.datasets.bop_json import read_json_object
from binpose_core.frames.camera_view import rigid_pose
from binpose_core.geometry.transforms import FloatArray

FORMAT = "binpose_outcomes/1"
KEYS = ("object_id", "T_cam_obj", "succeeded")


@dataclass(frozen=True, eq=False)
class PickOutcome:
    """A pick from a frame: the pose (4, 4) of the part that the robot went for, and whether it held it after.

    details: further values for a file, by name.
    """

    object_id: str
    T_cam_obj: FloatArray
    succeeded: bool
    details: Mapping[str, Any] = field(default_factory=dict)


Outcomes = Mapping[str, Sequence[PickOutcome]]
"""The picks from each frame, by the frame's name."""


def write_outcomes(path: Path | str, outcomes: Outcomes) -> None:
    """Write recorded picks, whole or not at all."""
    frames = {name: [_entry(pick) for pick in picks] for name, picks in outcomes.items()}
    write_json(path, {"format": FORMAT, "frames": frames})


def read_outcomes(path: Path | str) -> dict[str, list[PickOutcome]]:
    """The recorded picks in a file.

    Raises:
        BinposeError: for a file that is no such file; the message names the frame and the entry.
    """
    data = read_json_object(Path(path))
    frames = data.get("frames")
    if data.get("format") != FORMAT or not isinstance(frames, dict):
        raise BadFile(
            f"{path} has the format {data.get('format')!r}; expected {FORMAT!r} and picks by frame; give an "
            "outcomes.json.",
            path,
        )
    found = {}
    for name, entries in frames.items():
        if not isinstance(entries, list):
            raise BadFile(f"{path} has no list of picks for frame {name!r}; expected one; correct the file.", path)
        found[name] = [_outcome(entry, path, f"pick {number} of {name}") for number, entry in enumerate(entries)]
    return found


def _entry(pick: PickOutcome) -> dict[str, Any]:
    return {"object_id": pick.object_id, "T_cam_obj": pick.T_cam_obj, "succeeded": pick.succeeded, **pick.details}


def _outcome(entry: Any, path: Path | str, where: str) -> PickOutcome:
    kinds = {"object_id": str, "T_cam_obj": list, "succeeded": bool}
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), kind) for key, kind in kinds.items()):
        raise BadFile(
            f"The {where} in {path} has no object_id (text), T_cam_obj (4x4) and succeeded (true or false); expected "
            "all of them; correct the file.",
            path,
        )
    pose = rigid_pose(entry["T_cam_obj"], "T_cam_obj", f"{where} in {path}")
    details = {key: value for key, value in entry.items() if key not in KEYS}
    return PickOutcome(entry["object_id"], pose, entry["succeeded"], details)
