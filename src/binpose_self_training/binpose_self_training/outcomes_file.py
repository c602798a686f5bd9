"""Outcomes of picks in a file beside a recording, `outcomes.json`.

    {"picks": [{"frame": "000007", "object_id": "gearmotor", "T_cam_obj": [[...], [...], [...], [0, 0, 0, 1]],
                "succeeded": true, "reason": ""}]}

`frame` is the name of the frame that the pick was planned on, T_cam_obj (4, 4) in metres the pose that was gripped.
Other entries, such as `reason`, are ignored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BadFile
from binpose_core.base.files import read_json
from binpose_core.frames.camera_view import rigid_pose
from binpose_self_training.gate.outcomes import Outcomes, PickOutcome

FILE = "outcomes.json"


def read_outcomes(recording: Path) -> Outcomes:
    """The picks by the name of their frame; none where a recording has no such file.

    Args:
        recording: folder of the frames, or a file in it.

    Raises:
        BinposeError: for a file with other content.
    """
    path = (recording if recording.is_dir() else recording.parent) / FILE
    if not path.is_file():
        return {}
    content = read_json(path)
    picks = content.get("picks") if isinstance(content, dict) else None
    if not isinstance(picks, list):
        raise BadFile(f'{path} has no list "picks"; expected one entry for each pick; delete or repair the file.', path)
    found: dict[str, list[PickOutcome]] = {}
    for number, entry in enumerate(picks):
        name, pick = _pick(entry, f"{path}, pick {number}", path)
        found.setdefault(name, []).append(pick)
    return found


def _pick(entry: Any, where: str, path: Path) -> tuple[str, PickOutcome]:
    wanted: Mapping[str, type] = {"frame": str, "object_id": str, "succeeded": bool}
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), kind) for name, kind in wanted.items()):
        raise BadFile(
            f"{where}: {entry!r:.80}; expected frame and object_id as text, succeeded as true or false, and T_cam_obj.",
            path,
        )
    T_cam_obj = rigid_pose(entry.get("T_cam_obj"), "T_cam_obj", where)
    return entry["frame"], PickOutcome(entry["object_id"], T_cam_obj, entry["succeeded"])
