"""What an estimation leaves on disk, and reading it back.

<run>/run.json                          model, input, options and what happened to each frame
<run>/results.csv                       all poses in the BOP challenge's format
<run>/frames/<name>/poses.json          the poses of a frame, metres, with residuals
<run>/frames/<name>/overlay.png         the parts drawn over the picture
<run>/report.html                       all of it to look at
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.bop_results import BopResult, read_results, write_results
from binpose_core.errors import BinposeError
from binpose_core.files import read_json, write_bytes, write_json
from binpose_core.geometry import quat_xyzw_from_rotation
from binpose_core.types import PoseEstimate


@dataclass(frozen=True)
class FrameOutcome:
    """What became of one frame: its poses, or the sentence that says why there are none.

    rejected: what scored too low to be reported.
    seconds: wall-clock time per stage, in their order.
    """

    name: str
    scene_id: int
    image_id: int
    poses: tuple[PoseEstimate, ...] = ()
    rejected: tuple[PoseEstimate, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """The header of a run.

    objects: object id to its number in results.csv.
    """

    source: str
    split: str | None
    model: str
    model_version: str
    objects: Mapping[str, int]
    threshold: float
    frames: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def number(self, object_id: str) -> int:
        """The object's number in results.csv."""
        if object_id not in self.objects:
            raise BinposeError(f"No object {object_id!r} in this run; known: {', '.join(self.objects)}.")
        return self.objects[object_id]


class RunDirectory:
    """Writes and reads the files of a run."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def frame_directory(self, name: str) -> Path:
        """Where the files of a frame lie."""
        return self.root / "frames" / name

    def write_frame(self, outcome: FrameOutcome, overlay_png: bytes) -> None:
        """A frame's poses and picture."""
        directory = self.frame_directory(outcome.name)
        content = {
            "name": outcome.name,
            "scene_id": outcome.scene_id,
            "image_id": outcome.image_id,
            "seconds": {stage: round(value, 4) for stage, value in outcome.seconds.items()},
            "poses": [pose_to_json(pose) for pose in outcome.poses],
        }
        write_json(directory / "poses.json", content, indent=1, durable=False)
        write_bytes(directory / "overlay.png", overlay_png, durable=False)

    def write_results(self, record: RunRecord, outcomes: Sequence[FrameOutcome]) -> None:
        """results.csv and run.json for all frames so far."""
        self.root.mkdir(parents=True, exist_ok=True)
        write_results(self.root / "results.csv", bop_results(record, outcomes))
        frames = {outcome.name: _frame_entry(outcome) for outcome in outcomes}
        write_json(self.root / "run.json", {**vars(record), "objects": dict(record.objects), "frames": frames})

    def read_record(self) -> RunRecord:
        """The header of the run.

        Raises:
            BinposeError: when the folder holds no run or a damaged one.
        """
        path = self.root / "run.json"
        if not path.is_file():
            raise BinposeError(f"No run at {self.root}; expected the folder that `binpose estimate --out` wrote.")
        try:
            return RunRecord(**read_json(path))
        except TypeError as error:
            raise BinposeError(f"{path} is not the record of a run ({error}); run `binpose estimate` again.") from error

    def read_results(self) -> list[BopResult]:
        """The poses of results.csv.

        Raises:
            BinposeError: when the file is missing or damaged.
        """
        return read_results(self.root / "results.csv")


def bop_results(record: RunRecord, outcomes: Sequence[FrameOutcome]) -> list[BopResult]:
    """The lines of results.csv; BOP wants one time per image, the same in all its lines."""
    return [
        BopResult(
            scene_id=outcome.scene_id,
            image_id=outcome.image_id,
            obj_id=record.number(pose.object_id),
            score=float(pose.score),
            T_cam_obj=pose.T_cam_obj,
            time_s=sum(outcome.seconds.values()),
        )
        for outcome in outcomes
        for pose in outcome.poses
    ]


def pose_to_json(pose: PoseEstimate) -> dict[str, Any]:
    """A pose as plain numbers: metres, camera frame, quaternion as x, y, z, w."""
    return {
        "object_id": pose.object_id,
        "score": round(float(pose.score), 4),
        "T_cam_obj": np.asarray(pose.T_cam_obj, np.float64).round(9).tolist(),
        "position_m": np.asarray(pose.T_cam_obj[:3, 3], np.float64).round(9).tolist(),
        "quat_xyzw": quat_xyzw_from_rotation(pose.T_cam_obj[:3, :3]).round(9).tolist(),
        "covariance": None if pose.covariance is None else np.asarray(pose.covariance, np.float64).tolist(),
        "residuals": {name: round(float(value), 6) for name, value in pose.residuals.items()},
    }


def _frame_entry(outcome: FrameOutcome) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "scene_id": outcome.scene_id,
        "image_id": outcome.image_id,
        "parts": len(outcome.poses),
        "seconds": {stage: round(value, 4) for stage, value in outcome.seconds.items()},
    }
    return entry if outcome.error is None else {**entry, "error": outcome.error}
